// Fastify and pg: the body by Fastify's schemas (ajv), order and event in one prepared statement, WORKERS processes.
"use strict";

const cluster = require("node:cluster");
const { randomUUID } = require("node:crypto");
const fastify = require("fastify");
const pg = require("pg");

const CEILING = 999.99;
const COLUMNS = [
  "order_id", "cust_id", "order_description", "food_fee", "delivery_fee", "store_location", "delivery_location",
  "order_status", "payment_status", "version", "created_at", "updated_at",
];
const EVENT_COLUMNS = ["event_id", "aggregateid", "type", "correlation_id", "version", "payload"];
const places = (first, names) => names.map((_, place) => `$${first + place}`).join(", ");
const INSERT_BOTH = `
  WITH made AS (INSERT INTO orders (${COLUMNS}) VALUES (${places(1, COLUMNS)}))
  INSERT INTO outbox (${EVENT_COLUMNS}) VALUES (${places(COLUMNS.length + 1, EVENT_COLUMNS)})`;

// The order JSON of the contract: column and JSON type of each field.
const FIELDS = {
  orderId: ["order_id"], custId: ["cust_id"], runnerId: ["runner_id"], orderDescription: ["order_description"],
  foodFee: ["food_fee", "number"], deliveryFee: ["delivery_fee", "number"], storeLocation: ["store_location"],
  deliveryLocation: ["delivery_location"], orderStatus: ["order_status"], sagaId: ["saga_id"],
  createdAt: ["created_at"], updatedAt: ["updated_at"], acceptedAt: ["accepted_at"], placedAt: ["placed_at"],
  pickedUpAt: ["picked_up_at"], deliveredAt: ["delivered_at"], completedAt: ["completed_at"],
  cancelledAt: ["cancelled_at"], paymentStatus: ["payment_status"], cancelReason: ["cancel_reason"],
  version: ["version", "integer"],
};
const SELECT_ORDER = `SELECT ${Object.entries(FIELDS).map(([name, [column]]) => `${column} AS "${name}"`)}
  FROM orders WHERE order_id = $1`;

const text = { type: "string", minLength: 1, maxLength: 255 };
const CREATE_ORDER = {
  body: {
    type: "object",
    required: ["customer_id", "order_details"],
    properties: {
      customer_id: text,
      order_details: {
        type: "object",
        required: ["foodItems", "deliveryLocation"],
        properties: {
          foodItems: {
            type: "array",
            minItems: 1,
            items: {
              type: "object",
              required: ["price", "quantity"],
              properties: {
                price: { type: "number", minimum: 0 },
                quantity: { type: "integer", minimum: 1, maximum: 10000 },
              },
            },
          },
          storeLocation: { ...text, nullable: true },
          deliveryLocation: text,
          deliveryFee: { type: "number", minimum: 0, maximum: CEILING },
        },
      },
    },
  },
  response: {
    201: {
      type: "object",
      properties: { success: { type: "boolean" }, order_id: { type: "string" }, message: { type: "string" } },
    },
  },
};
const GET_ORDER = {
  querystring: { type: "object", required: ["orderId"], properties: { orderId: { type: "string" } } },
  response: {
    200: {
      type: "object",
      properties: Object.fromEntries(
        Object.entries(FIELDS).map(([name, [, type = "string"]]) => [name, { type, nullable: true }]),
      ),
    },
  },
};

// Numbers as JSON has them, times in UTC with their offset.
pg.types.setTypeParser(pg.types.builtins.NUMERIC, Number);
pg.types.setTypeParser(pg.types.builtins.TIMESTAMP, (value) => `${value.replace(" ", "T")}+00:00`);

function cents(value) {
  return Math.round(value * 100) / 100;
}

function newOrder(body, foodFee) {
  const { foodItems, storeLocation = null, deliveryLocation, deliveryFee = 0 } = body.order_details;
  const now = new Date().toISOString().replace("Z", "+00:00");
  const unset = Object.fromEntries(Object.keys(FIELDS).map((name) => [name, null]));
  return {
    ...unset,
    orderId: randomUUID(),
    custId: body.customer_id,
    orderDescription: JSON.stringify(foodItems),
    foodFee,
    deliveryFee: cents(deliveryFee),
    storeLocation,
    deliveryLocation,
    orderStatus: "PENDING",
    paymentStatus: "PENDING",
    version: 1,
    createdAt: now,
    updatedAt: now,
  };
}

function eventOf(order, correlationId, eventId) {
  const { custId, runnerId, orderId, version } = order;
  return JSON.stringify({
    type: "ORDER_CREATED",
    correlation_id: correlationId,
    timestamp: new Date().toISOString(),
    payload: {
      customerId: custId,
      runnerId,
      orderId,
      status: "created",
      event: JSON.stringify(order),
      correlation_id: correlationId,
      source: "order-service",
      version,
    },
    source: "order-service",
    event_id: eventId,
  });
}

async function serve() {
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: Number(process.env.DATABASE_POOL) });
  const app = fastify({ logger: false, keepAliveTimeout: 75000, ajv: { customOptions: { coerceTypes: false } } });

  app.get("/health", async () => ({ status: "healthy" }));

  app.post("/createOrder", { schema: CREATE_ORDER }, async (request, reply) => {
    const foodFee = cents(
      request.body.order_details.foodItems.reduce((sum, { price, quantity }) => sum + price * quantity, 0),
    );
    if (foodFee > CEILING) {
      return reply.code(400).send({ success: false, error: `fees must be at most ${CEILING} dollars` });
    }
    const order = newOrder(request.body, foodFee);
    const correlationId = request.headers["x-correlation-id"] || randomUUID();
    const eventId = randomUUID();
    const columns = Object.fromEntries(Object.entries(FIELDS).map(([name, [column]]) => [column, order[name]]));
    const event = [eventId, order.orderId, "ORDER_CREATED", correlationId, 1];
    const payload = Buffer.from(eventOf(order, correlationId, eventId));
    await pool.query({
      name: "create",
      text: INSERT_BOTH,
      values: [...COLUMNS.map((column) => columns[column]), ...event, payload],
    });
    return reply.code(201).send({ success: true, order_id: order.orderId, message: "Order created successfully" });
  });

  app.get("/getOrderDetails", { schema: GET_ORDER }, async (request, reply) => {
    const found = await pool.query({ name: "get", text: SELECT_ORDER, values: [request.query.orderId] });
    return found.rows.length ? found.rows[0] : reply.code(404).send({ error: "Order not found" });
  });

  await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
}

if (cluster.isPrimary) {
  for (let worker = 0; worker < Number(process.env.WORKERS); worker += 1) {
    cluster.fork();
  }
  cluster.on("exit", () => process.exit(1));
} else {
  serve();
}
