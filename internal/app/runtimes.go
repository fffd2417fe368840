package app

import (
	"fmt"
	"os"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/receipt"
)

// catalog is what runtimes there are for this executor.
func (c Executor) loadCatalog() (catalog.Catalog, error) {
	cat, err := catalog.Load(c.RuntimesFile)
	if err != nil || c.RuntimesFile != "" {
		return cat, err
	}
	for i := range cat.Runtimes {
		switch r := &cat.Runtimes[i]; r.Name {
		case "offline":
			r.Image = c.OfflineImage
		case "claude":
			r.Image = c.ClaudeImage
			if len(c.ClaudeModels) > 0 {
				r.Models = c.ClaudeModels
			}
		}
	}
	return cat, nil
}

// receiptKey signs what this executor writes of its jobs; nil: nothing does.
func (c Executor) loadReceiptKey() (*receipt.Key, error) {
	if c.ReceiptKeyFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.ReceiptKeyFile)
	if err != nil {
		return nil, fmt.Errorf("AIRLOCK_RECEIPT_KEY_FILE: %w", err)
	}
	key, err := receipt.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("AIRLOCK_RECEIPT_KEY_FILE: %s: %w", c.ReceiptKeyFile, err)
	}
	return key, nil
}
