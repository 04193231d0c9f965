{{ stream('lists', {
    'id': 'text',
    'name': 'text',
    'modality': 'text',
    'created_at': 'timestamp',
}) }}
