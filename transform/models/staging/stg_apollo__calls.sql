{{ stream('calls', {
    'id': 'text',
    'status': 'text',
    'inbound': 'boolean',
    'user_id': 'text',
    'contact_id': 'text',
    'account_id': 'text',
    'opportunity_id': 'text',
    'duration': 'bigint',
    'start_time': 'timestamp',
    'end_time': 'timestamp',
}) }}
