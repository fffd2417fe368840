package usage

import (
	"hash/fnv"
	"time"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// Bounds of a Part, which keep its document below 500 KiB: Firestore allows 1 MiB, and every bundle writes it anew.
// MaxRows bounds agents (with models, kinds and lanes) and labels alike; what comes later in a day is counted as Other.
const (
	MaxRows       = 1000
	MaxLabelBytes = 256 << 10 // of all labels together
)

// Retention is how long the usage of a day is kept. Firestore deletes it some time after that.
const Retention = 400 * 24 * time.Hour

// Parts is the number of parts of a day of one tenant. Each process adds to one of them, so that many processes can
// write although Firestore takes about one write a second for each document.
const Parts = 16

// PartName names the part of a day to which a process adds.
func PartName(day, process string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(process)) // never fails
	return day + "." + string(rune('a'+h.Sum32()%Parts))
}

// Part is one part of a tenant's usage of a day. Its Firestore document is this struct. The rows of labels are in
// documents of their own, since they are many, and most readers do not need them.
type Part struct {
	Day         string `firestore:"day"`
	CostNanoUSD int64  `firestore:"costNanoUsd"` // of all rows
	// AgentCosts has the cost in nano-dollars of each agent that has a daily budget.
	AgentCosts map[string]int64 `firestore:"agentCosts,omitempty"`
	Rows       []Row            `firestore:"rows"`
	Expires    time.Time        `firestore:"expires"` // Firestore deletes it some time later

	index map[Key]int // position in Rows
	bytes int         // of all labels
}

// Row is a sum over the executions of one key.
type Row struct {
	Key
	Counts
}

// Add adds an execution to a part without labels.
func (p *Part) Add(e Entry) {
	p.CostNanoUSD += e.Counts.CostNanoUSD
	if e.DailyBudget != (agent.DailyBudget{}) {
		if p.AgentCosts == nil {
			p.AgentCosts = map[string]int64{}
		}
		p.AgentCosts[e.Key.AgentID] += e.Counts.CostNanoUSD
	}
	if p.hasRoom(e.Key) {
		p.add(e.Key, e.Counts)
	} else {
		p.add(Key{AgentID: Other, Model: Other, Kind: e.Key.Kind, Lane: e.Key.Lane}, e.Counts)
	}
}

// AddLabels adds an execution to a part of labels: to one row for each label, and once to Other for all labels that
// have no room.
func (p *Part) AddLabels(e Entry) {
	omitted := false
	for _, label := range e.Labels {
		if k := (Key{Label: label}); p.hasRoom(k) {
			p.add(k, e.Counts)
		} else {
			omitted = true
		}
	}
	if omitted {
		p.add(Key{Label: Other}, e.Counts)
	}
}

// hasRoom reports whether there is a row of a key, or room for one.
func (p *Part) hasRoom(k Key) bool {
	if p.index == nil {
		p.index = make(map[Key]int, len(p.Rows))
		for i, row := range p.Rows {
			p.index[row.Key] = i
			p.bytes += len(row.Label)
		}
	}
	_, ok := p.index[k]
	return ok || len(p.Rows) < MaxRows && p.bytes+len(k.Label) <= MaxLabelBytes
}

// add adds to the row of a key. It is called after hasRoom; rows of Other need no room.
func (p *Part) add(k Key, c Counts) {
	i, ok := p.index[k]
	if !ok {
		i = len(p.Rows)
		p.index[k] = i
		p.bytes += len(k.Label)
		p.Rows = append(p.Rows, Row{Key: k})
	}
	p.Rows[i].Counts = p.Rows[i].Counts.Add(c)
}
