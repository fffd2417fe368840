package app

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// ownPepper gives an Airlock on one machine a pepper of its own, beside its
// data, where the operator has none and keys are used.
func (d *Dev) ensurePepper() error {
	p := &d.API.PepperSource
	if d.NoAPI || d.API.effectiveAuthMode() != AuthKeys || p.Pepper != "" || p.PepperFile != "" || d.Emulators.Dir == "" {
		return nil
	}
	p.PepperFile = filepath.Join(d.Emulators.Dir, "key-pepper")
	f, err := os.OpenFile(p.PepperFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make a pepper for the keys: %w", err)
	}
	_, err = f.WriteString(rand.Text() + rand.Text() + "\n") // 26 letters each
	return errors.Join(err, f.Sync(), f.Close())
}
