{#
  The rows of a stream's table, with these columns cast to these types.

  A stream that is not selected has no table and a deselected property no column: both read as empty, so that the project
  builds whatever was synced. Rows that the loader only marks as deleted are left out.
#}
{% macro stream(name, columns) %}
    {%- set table = load_relation(source('apollo', name)) if execute else none -%}
    {%- set found = adapter.get_columns_in_relation(table) | map(attribute='name') | list if table else [] -%}
    select
    {%- for column, type in columns.items() %}
        cast({{ adapter.quote(column) if column in found else 'null' }} as {{ type }}) as {{ adapter.quote(column) }}
        {{- ',' if not loop.last }}
    {%- endfor %}
    {%- if table %}
    from {{ table }}
    {%- if '_sdc_deleted_at' in found %}
    where _sdc_deleted_at is null
    {%- endif %}
    {%- else %}
    where false
    {%- endif %}
{%- endmacro %}
