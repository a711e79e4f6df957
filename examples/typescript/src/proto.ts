// The message types and the service, read from the project's .proto files: nothing is generated ahead.
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import protobuf from "protobufjs";

const repository = fileURLToPath(new URL("../../../", import.meta.url));

/** Directory of the shared test vectors of transactions. */
export const vectorsDir = repository + "utxo/testdata/";

const includeDir = repository + "proto";

const root = new protobuf.Root();
root.resolvePath = (_origin, target) =>
  target.startsWith("google/") ? target : `${includeDir}/${target}`;
root.loadSync(["notary/v1/transaction.proto", "notary/v1/group.proto"], { keepCase: true });

/**
 * The canonical encoding of a message (docs/spec/encoding.md): fields ascend and numbers are minimal
 * with this encoder as with most; what is zero or empty must not be stated in `fields`.
 */
export function encode(type: string, fields: Record<string, unknown>): Uint8Array {
  const t = root.lookupType(`notary.v1.${type}`);
  return Uint8Array.from(t.encode(t.fromObject(fields)).finish());
}

/** The service's client class, with the names of the .proto and 64-bit numbers as text. */
const definition = loadSync("notary/v1/service.proto", {
  includeDirs: [includeDir], keepCase: true, longs: String, enums: String, defaults: true,
});

const loaded = grpc.loadPackageDefinition(definition) as unknown as {
  notary: { v1: { NotaryService: grpc.ServiceClientConstructor } };
};

/** Service calls methods by name and waits for their answers. */
export class Service {
  private readonly client: grpc.Client;

  constructor(target: string) {
    this.client = new loaded.notary.v1.NotaryService(target, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": 17 << 20,
    });
  }

  call<Answer>(method: string, request: object, seconds: number): Promise<Answer> {
    const deadline = new Date(Date.now() + seconds * 1000);
    const stubs = this.client as unknown as Record<
      string,
      (request: object, options: object, done: (err: Error | null, answer: Answer) => void) => void
    >;
    return new Promise((resolve, reject) => {
      stubs[method]!.call(this.client, request, { deadline }, (err, answer) =>
        err ? reject(err) : resolve(answer),
      );
    });
  }

  close(): void {
    this.client.close();
  }
}
