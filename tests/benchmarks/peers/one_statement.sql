WITH made AS (
    INSERT INTO orders (order_id, cust_id, order_description, food_fee, delivery_fee, store_location,
        delivery_location, order_status, payment_status, version, created_at, updated_at)
    VALUES (uuidv7()::text, :cust_id, :order_description, :food_fee, :delivery_fee, :store_location,
        :delivery_location, 'PENDING', 'PENDING', 1, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
    RETURNING order_id
)
INSERT INTO outbox (event_id, aggregateid, type, correlation_id, version, payload)
SELECT gen_random_uuid(), order_id, 'ORDER_CREATED', :correlation_id, 1, convert_to(:payload, 'UTF8') FROM made;
