// Objects of the Gateway API and of cert-manager, as a JSON list on standard input, against the
// schemas of their resource definitions, as npm has them in the folder of the first argument.
// Prints a line for each object that they refuse. Fields that the Gateway API does not know are
// refused, too.

const { readFileSync } = require("node:fs");

const paths = [process.argv[2]];
const gateway = require.resolve("@kubernetes-models/gateway-api", { paths });
const validate = require(require.resolve("@kubernetes-models/validate", { paths: [gateway] }));

function strict(schema) {
  if (typeof schema !== "object" || schema === null) return schema;
  if (schema.properties) schema.additionalProperties ??= false;
  Object.values(schema).forEach(strict);
  return schema;
}

const register = validate.register;
validate.register = (id, schema) => register(id, strict(schema));

for (const each of JSON.parse(readFileSync(0))) {
  const [group, version] = each.apiVersion.split("/");
  const library = group === "cert-manager.io" ? "cert-manager" : "gateway-api";
  const file = `@kubernetes-models/${library}/${group}/${version}`;
  const models = require(require.resolve(file, { paths }));
  try {
    new models[each.kind](each).validate();
  } catch (error) {
    console.log(`${each.kind} ${each.metadata.name}: ${error.message}`);
  }
}
