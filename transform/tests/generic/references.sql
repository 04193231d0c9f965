{#
  As dbt's `relationships`, but passed if the other table is empty: a stream that is not synced is not a broken reference.
#}
{% test references(model, column_name, to, field='id') %}
    select child.{{ column_name }}
    from {{ model }} as child
    left join {{ to }} as parent on parent.{{ field }} = child.{{ column_name }}
    where child.{{ column_name }} is not null
        and parent.{{ field }} is null
        and exists (select 1 from {{ to }})
{% endtest %}
