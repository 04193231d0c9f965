with readings as (
    {{ stream('credit_usage_stats', {
        'credit_type': 'text',
        'limit': 'numeric(20, 4)',
        'consumed': 'numeric(20, 4)',
        'left_over': 'numeric(20, 4)',
        'cycle_start': 'timestamp',
        'cycle_end': 'timestamp',
        'read_at': 'timestamp',
    }) }}
)

select credit_type, "limit" as allowance, consumed, left_over, cycle_start, cycle_end, read_at
from readings
