{{ stream('deal_stages', {
    'id': 'text',
    'name': 'text',
    'opportunity_pipeline_id': 'text',
    'probability': 'double precision',
    'is_closed': 'boolean',
    'is_won': 'boolean',
    'display_order': 'bigint',
}) }}
