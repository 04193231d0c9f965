{{ stream('outreach_email_activities', {
    'id': 'text',
    'emailer_message_id': 'text',
    'num_opens': 'bigint',
    'num_clicks': 'bigint',
}) }}
