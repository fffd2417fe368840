package meter

import (
	"cmp"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

const (
	// documentLimit is the documented rate, in writes a second, that one document sustains. It is soft: the cloud
	// accepts bursts, so it is held against an average.
	documentLimit  = 1
	documentWindow = 10 * time.Second
	// maxRates bounds the rates that a Meter remembers.
	maxRates = 1000
)

// documentRates counts the writes of each document in the current window.
type documentRates struct {
	log      *zap.Logger
	end      document.Time // of the window
	counts   map[string]int
	exceeded map[string]Rate
}

func newDocumentRates(log *zap.Logger) documentRates {
	return documentRates{log: log, counts: map[string]int{}, exceeded: map[string]Rate{}}
}

func (d *documentRates) record(e store.Event, c store.Change) {
	if e.Time >= d.end {
		d.end = e.Time + document.Time(documentWindow.Microseconds())
		clear(d.counts)
	}
	key := e.Database.String() + "/documents/" + c.Path.String()
	d.counts[key]++
	n := d.counts[key]
	if n <= documentLimit*int(documentWindow.Seconds()) {
		return
	}
	r, known := d.exceeded[key]
	if !known && len(d.exceeded) == maxRates {
		return
	}
	r.Resource, r.Limit = c.Path.String(), documentLimit
	r.Peak = max(r.Peak, float64(n)/documentWindow.Seconds())
	if n == documentLimit*int(documentWindow.Seconds())+1 {
		r.Windows++
	}
	d.exceeded[key] = r
	if !known {
		d.log.Warn("this document is written more often than Firestore sustains",
			zap.String("document", r.Resource), zap.Int("limitPerSecond", documentLimit), zap.Duration("window", documentWindow))
	}
}

// sortRates returns the rates, the highest first.
func sortRates(rates map[string]Rate) []Rate {
	out := make([]Rate, 0, len(rates))
	for _, r := range rates {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Rate) int {
		return cmp.Or(cmp.Compare(b.Peak/b.Limit, a.Peak/a.Limit), cmp.Compare(a.Resource, b.Resource))
	})
	return out
}
