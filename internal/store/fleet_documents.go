package store

import (
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
)

// fleetDocument replaces the map whose keys are lanes: Google's client takes only maps whose keys are of the type
// string.
type fleetDocument struct {
	fleet.Fleet
	Slots map[string]int `firestore:"slots,omitempty"`
}

func newFleetDocument(f fleet.Fleet) fleetDocument {
	return fleetDocument{Fleet: f, Slots: convertKeys[string](f.Slots)}
}

func (d *fleetDocument) fleet() fleet.Fleet {
	f := d.Fleet
	f.Slots = convertKeys[execution.Lane](d.Slots)
	return f
}

func convertKeys[To, From ~string, V any](m map[From]V) map[To]V {
	if m == nil {
		return nil
	}
	converted := make(map[To]V, len(m))
	for k, v := range m {
		converted[To(k)] = v
	}
	return converted
}
