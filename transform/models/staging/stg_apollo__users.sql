{{ stream('users', {
    'id': 'text',
    'name': 'text',
    'email': 'text',
    'title': 'text',
    'deleted': 'boolean',
    'created_at': 'timestamp',
}) }}
