{{ stream('conversations', {
    'id': 'text',
    'topic': 'text',
    'conversation_type': 'text',
    'state': 'text',
    'host_id': 'text',
    'duration': 'bigint',
    'start_time': 'timestamp',
}) }}
