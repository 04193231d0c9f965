{# Where the databases differ: target-duckdb writes objects and lists as JSON, target-postgres as jsonb, text[] and jsonb[]. #}

{% macro object_type() %}{{ return('jsonb' if target.type == 'postgres' else 'json') }}{% endmacro %}

{% macro texts_type() %}{{ return('text[]' if target.type == 'postgres' else 'json') }}{% endmacro %}

{% macro objects_type() %}{{ return('jsonb[]' if target.type == 'postgres' else 'json') }}{% endmacro %}

{# A row for each text in a list; none for an empty list. #}
{% macro each_text(column) -%}
    {% if target.type == 'postgres' %}unnest({{ column }}){% else %}unnest(from_json({{ column }}, '["VARCHAR"]')){% endif %}
{%- endmacro %}

{# A row for each object in a list; none for an empty list. #}
{% macro each_object(column) -%}
    {% if target.type == 'postgres' %}unnest({{ column }}){% else %}unnest(from_json({{ column }}, '["JSON"]')){% endif %}
{%- endmacro %}
