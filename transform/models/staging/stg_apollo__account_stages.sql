{{ stream('account_stages', {
    'id': 'text',
    'name': 'text',
    'category': 'text',
    'display_order': 'bigint',
}) }}
