package meter

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/indexes"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

const (
	// rangeLimit is the documented rate, in writes a second, that a range of an index sustains if its values grow: all
	// of them go to one server, because a range is split where it was busy and not where it will be.
	rangeLimit  = 500
	rangeWindow = time.Second
	// clockDistance is how far from now a timestamp may be to count as one that follows the clock.
	clockDistance = time.Hour
	// maxRanges bounds the ranges that a Meter watches. Beyond it those without recent writes are forgotten.
	maxRanges = 20_000
	// reportedRanges bounds the ranges of a report.
	reportedRanges = 20
)

// rangeRates counts the writes at the end of each ordered range. A range is an index of one collection, or of a
// collection group, and the values before the one that grows.
type rangeRates struct {
	log     *zap.Logger
	indexes *indexes.Set
	single  map[string][]indexes.Index // the single-field indexes, by collection and field
	ranges  map[string]*growingRange
}

type growingRange struct {
	end      document.Time // of the window
	count    int           // in the window
	greatest string        // key at the end of the range
	rate     Rate
}

func newRangeRates(x *indexes.Set, log *zap.Logger) rangeRates {
	return rangeRates{log: log, indexes: x, single: map[string][]indexes.Index{}, ranges: map[string]*growingRange{}}
}

// record counts the index entries that a change adds.
func (r *rangeRates) record(e store.Event, c store.Change) {
	w := entryWriter{rates: r, event: e, path: c.Path, scope: e.Database.String() + "/documents/" + c.Path.Parent().String()}
	if c.Old == nil {
		w.add(nil, nil, false)
	}
	var old map[string]*pb.Value
	if c.Old != nil {
		old = c.Old.Fields
	}
	w.walk(nil, old, c.New.Fields)
	for _, x := range r.indexes.Composite(c.Path.Collection()) {
		w.composite(x, old, c.New.Fields)
	}
}

// singleField returns the distinct scopes of the ordered single-field indexes of a field.
func (r *rangeRates) singleField(collection string, p field.Path) []indexes.Index {
	key := collection + "\x00" + p.String()
	list, ok := r.single[key]
	if !ok {
		for _, x := range r.indexes.SingleField(collection, p) {
			// The ascending and the descending index are equally busy.
			same := func(y indexes.Index) bool { return x.CollectionGroup == y.CollectionGroup }
			if !x.Fields[0].Elements && !slices.ContainsFunc(list, same) {
				list = append(list, x)
			}
		}
		r.single[key] = list
	}
	return list
}

// rates returns the fastest ranges.
func (r *rangeRates) rates() []Rate {
	rates := map[string]Rate{}
	for key, g := range r.ranges {
		rates[key] = g.rate
	}
	sorted := sortRates(rates)
	return sorted[:min(len(sorted), reportedRanges)]
}

// entryWriter counts the entries of one changed document.
type entryWriter struct {
	rates *rangeRates
	event store.Event
	path  name.Path
	scope string // of indexes with the scope of a collection
}

// walk counts the entries of single-field indexes whose value is new.
func (w *entryWriter) walk(prefix field.Path, before, after map[string]*pb.Value) {
	for key, v := range after {
		old := before[key]
		p := slices.Concat(prefix, field.Path{key})
		if m := v.GetMapValue(); m != nil && value.KindOf(v) == value.KindMap {
			w.walk(p, old.GetMapValue().GetFields(), m.GetFields())
			continue
		}
		if !ordered(v) || old != nil && proto.Equal(old, v) {
			continue
		}
		for _, x := range w.rates.singleField(w.path.Collection(), p) {
			w.add(x.Fields, []*pb.Value{v}, x.CollectionGroup)
		}
	}
}

// ordered reports whether a value can be one of a growing sequence.
func ordered(v *pb.Value) bool {
	switch value.KindOf(v) {
	case value.KindNumber, value.KindTimestamp, value.KindString:
		return true
	}
	return false
}

// composite counts the entries of a composite index if one of its values is new.
func (w *entryWriter) composite(x indexes.Index, before, after map[string]*pb.Value) {
	values := make([]*pb.Value, len(x.Fields))
	changed := false
	elements := -1 // position of an array with an entry for each of its elements
	for i, c := range x.Fields {
		if values[i] = field.Get(after, c.Path); values[i] == nil {
			return
		}
		var old *pb.Value
		if before != nil {
			old = field.Get(before, c.Path)
		}
		changed = changed || old == nil || !proto.Equal(old, values[i])
		if c.Elements {
			elements = i
		}
	}
	switch {
	case !changed:
	case elements < 0:
		w.add(x.Fields, values, x.CollectionGroup)
	default:
		for _, v := range values[elements].GetArrayValue().GetValues() {
			entry := slices.Clone(values)
			entry[elements] = v
			w.add(x.Fields, entry, x.CollectionGroup)
		}
	}
}

// add counts an entry if it is at the end of its range: its value follows the clock, or is greater than all before.
func (w *entryWriter) add(fields []query.Component, values []*pb.Value, group bool) {
	leading, byClock := w.growing(values)
	key := make([]byte, 0, 128)
	if group {
		key = append(append(key, w.event.Database.String()...), "/*/"+w.path.Collection()...)
	} else {
		key = append(key, w.scope...)
	}
	for _, f := range fields {
		key = append(append(key, 0), f.Path.String()...)
	}
	key = append(key, 1)
	for _, v := range values[:leading] {
		key = value.AppendKey(key, v)
	}
	r := w.rates
	g := r.ranges[string(key)]
	if g == nil {
		r.makeRoom(w.event.Time)
		g = &growingRange{rate: Rate{Resource: w.describe(fields, values[:leading], group), Limit: rangeLimit}}
		r.ranges[string(key)] = g
	}
	if !byClock {
		var end []byte
		if leading < len(values) {
			end = value.AppendKey(end, values[leading])
		}
		end = name.AppendKey(end, w.path)
		if string(end) <= g.greatest {
			return
		}
		g.greatest = string(end)
	}
	w.count(g)
}

// growing returns the number of values before the one that may grow.
func (w *entryWriter) growing(values []*pb.Value) (leading int, byClock bool) {
	now := w.event.Time.Proto().AsTime()
	for i, v := range values {
		if t := v.GetTimestampValue(); t != nil && t.AsTime().Sub(now).Abs() <= clockDistance {
			return i, true
		}
	}
	return max(0, len(values)-1), false
}

func (w *entryWriter) count(g *growingRange) {
	if w.event.Time >= g.end {
		g.end, g.count = w.event.Time+document.Time(rangeWindow.Microseconds()), 0
	}
	g.count++
	g.rate.Peak = max(g.rate.Peak, float64(g.count)/rangeWindow.Seconds())
	if g.count != rangeLimit+1 {
		return
	}
	if g.rate.Windows++; g.rate.Windows == 1 {
		w.rates.log.Warn("more writes go to the end of this range of an index than Firestore sustains",
			zap.String("range", g.rate.Resource), zap.Int("limitPerSecond", rangeLimit))
	}
}

// describe names a range: its index, and the values before the one that grows.
func (w *entryWriter) describe(fields []query.Component, leading []*pb.Value, group bool) string {
	var b strings.Builder
	b.WriteString(w.path.Parent().String())
	if group {
		b.Reset()
		b.WriteString(w.path.Collection() + " (collection group)")
	}
	names := make([]string, 0, len(fields))
	for _, f := range fields {
		names = append(names, f.Path.String())
	}
	if len(names) == 0 {
		names = []string{field.DocumentID}
	}
	b.WriteString(": " + strings.Join(names, ", "))
	for i, v := range leading {
		fmt.Fprintf(&b, "%s%s = %s", []string{" where ", " and "}[min(i, 1)], names[i], literal(v))
	}
	return b.String()
}

// literal returns a value as a person writes it.
func literal(v *pb.Value) string {
	switch value.KindOf(v) {
	case value.KindString:
		return strconv.Quote(v.GetStringValue())
	case value.KindTimestamp:
		return v.GetTimestampValue().AsTime().Format(time.RFC3339Nano)
	case value.KindBool:
		return strconv.FormatBool(v.GetBooleanValue())
	case value.KindNull:
		return "null"
	case value.KindNumber:
		if n, ok := v.GetValueType().(*pb.Value_IntegerValue); ok {
			return strconv.FormatInt(n.IntegerValue, 10)
		}
		return strconv.FormatFloat(v.GetDoubleValue(), 'g', -1, 64)
	}
	return "…"
}

// makeRoom forgets slow ranges without recent writes if there are too many.
func (r *rangeRates) makeRoom(now document.Time) {
	if len(r.ranges) < maxRanges {
		return
	}
	maps.DeleteFunc(r.ranges, func(_ string, g *growingRange) bool { return g.end <= now && g.rate.Windows == 0 })
	if len(r.ranges) >= maxRanges {
		clear(r.ranges)
	}
}
