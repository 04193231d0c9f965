{#- The loader keeps only the last reading of each kind: every build adds the one it finds. Not rebuilt by --full-refresh. -#}
{{ config(materialized='incremental', incremental_strategy='append', full_refresh=false) }}

select credit_type, consumed, left_over, cycle_start, cycle_end, read_at
from {{ ref('stg_apollo__credit_usage_stats') }} as reading
{% if is_incremental() %}
where not exists (
    select 1 from {{ this }} as known
    where known.credit_type = reading.credit_type and known.read_at = reading.read_at
)
{% endif %}
