{# A column adds up to the number of rows of another model: nothing is lost or counted twice on the way. #}
{% test sums_to(model, column, of, among='true') %}
    select counted.total, there.total as expected
    from (select coalesce(sum({{ column }}), 0) as total from {{ model }}) as counted
    cross join (select count(*) as total from {{ of }} where {{ among }}) as there
    where counted.total <> there.total
{% endtest %}
