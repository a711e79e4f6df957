package api

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed openapi/notary.swagger.json
var generatedOpenAPI []byte

// openAPI is the generated document with what the generator cannot know: a title, the version, the
// methods that are not built yet, and that ids in paths may be hexadecimal.
func openAPI(version string, notBuilt []string) ([]byte, error) {
	var document map[string]any
	if err := json.Unmarshal(generatedOpenAPI, &document); err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	document["info"] = map[string]any{
		"title":   "notary.v1",
		"version": version,
		"description": "REST form of notary.v1.NotaryService and notary.v1.ExplorerService. Bytes are base64 in JSON. Errors are google.rpc.Status with an " +
			"ErrorInfo (domain " + Domain + "). Streams are one JSON object a line.\n\nNot built yet, in gRPC and REST: " +
			strings.Join(notBuilt, ", ") + ".",
	}
	document["tags"] = []any{
		map[string]any{"name": "NotaryService", "description": "The public service of a node."},
		map[string]any{"name": "ExplorerService", "description": "What a node holds and knows. Read only."},
	}
	paths, ok := document["paths"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("openapi: no paths")
	}
	for _, path := range paths {
		for _, operation := range path.(map[string]any) {
			describeIDs(operation.(map[string]any))
		}
	}
	return json.MarshalIndent(document, "", "  ")
}

// pathIDs are the parameters that hold an id or a key in a path, with what it is.
var pathIDs = map[string]string{"transactionId": "Transaction id", "peerId": "Peer id", "nodeKey": "Node key"}

// describeIDs corrects the parameters that hold an id in the path.
func describeIDs(operation map[string]any) {
	parameters, _ := operation["parameters"].([]any)
	for _, p := range parameters {
		parameter := p.(map[string]any)
		name, _ := parameter["name"].(string)
		if what := pathIDs[name]; what != "" && parameter["in"] == "path" {
			delete(parameter, "format")
			parameter["description"] = what + ": 64 hexadecimal digits, or 32 bytes in URL-safe base64."
		}
	}
}
