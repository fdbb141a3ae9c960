// Asks for a call as an upstream system in another language would: node publish.mjs '<JSON of call.requested>'
// Reads NATS_URL. Prints one line of JSON: the stream's acknowledgement and the call's id (null without a request_id).
import { createHash } from "node:crypto";
import { connect } from "nats";

const CALL_NAMESPACE = "5f0c9d5e-7d0a-5c43-9a43-6f0f6d1f7c11";

// UUIDv5 (RFC 9562, 5.5): SHA-1 over the name space's bytes and the name's, cut to 16, version and variant set.
function uuidV5(namespace, name) {
  const space = Buffer.from(namespace.replaceAll("-", ""), "hex");
  const bytes = createHash("sha1").update(space).update(name, "utf8").digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

const body = process.argv[2];
const { request_id: requestId } = JSON.parse(body);
const at = new URL(process.env.NATS_URL ?? "nats://127.0.0.1:4222"); // this client takes user and password apart from the address
const bus = await connect({ servers: at.host, user: at.username || undefined, pass: at.password || undefined });
const ack = await bus.jetstream().publish("call.requested", body);
await bus.close();
const callId = requestId ? uuidV5(CALL_NAMESPACE, requestId) : null;
console.log(JSON.stringify({ stream: ack.stream, sequence: ack.seq, duplicate: ack.duplicate, call_id: callId }));
