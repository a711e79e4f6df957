package wallet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// readFile reads a JSON file into v, which stays as it is where there is no such file. what names the content in errors.
func readFile(path, what string, v any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	return nil
}

// writeFile replaces a JSON file.
func writeFile(path, what string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	return replace(path, append(b, '\n'))
}
