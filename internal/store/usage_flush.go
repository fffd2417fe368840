package store

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

// errUsageSealed means that the usage of a writer is being recovered, so its bundles are not flushed any more.
var errUsageSealed = errors.New("the usage of this writer is recovered by another process")

// usageWriterDocument says which bundles of a writer are counted.
type usageWriterDocument struct {
	Flushed int  `firestore:"flushed"` // number of the newest bundle that is counted, and all before it
	Sealed  bool `firestore:"sealed,omitempty"`
	// Expires is set when the writer is sealed. Firestore deletes the document some time later.
	Expires *time.Time `firestore:"expires,omitempty"`
}

// FlushUsage writes the bundles of usage of this process, the oldest first, and says who has spent what. A bundle
// whose executions are not all known waits for the next call, and all behind it. complete reports whether nothing is
// left. After an error the next call continues; nothing is lost and nothing is counted twice.
func (s *Store) FlushUsage(ctx context.Context) (spent []usage.Spending, complete bool, err error) {
	s.usage.flushing.Lock()
	defer s.usage.flushing.Unlock()
	complete = true
	for _, w := range s.usage.closeBundles() {
		done, spendings, writerErr := s.flushWriter(ctx, w)
		spent = append(spent, spendings...)
		complete = complete && done
		err = errors.Join(err, writerErr)
	}
	return spent, complete && err == nil, err
}

func (s *Store) flushWriter(ctx context.Context, w *usageWriter) (done bool, spent []usage.Spending, err error) {
	for {
		b, unknown := s.usage.oldestBundle(w)
		if b == nil {
			return true, spent, nil
		}
		for _, ref := range unknown {
			if err := s.settleEnd(ctx, ref, b.name()); err != nil {
				return false, spent, err
			}
		}
		if !s.usage.complete(b) {
			return false, spent, nil
		}
		if err := s.flushBundle(ctx, b); err != nil {
			return false, spent, err
		}
		spent = append(spent, spendings(b.entries)...)
		s.usage.drop(w)
	}
}

// flushBundle writes a bundle, unless it is empty.
func (s *Store) flushBundle(ctx context.Context, b *usageBundle) error {
	if len(b.entries) == 0 {
		return nil
	}
	if !b.writer.sealed {
		err := s.commitBundle(ctx, b)
		if !errors.Is(err, errUsageSealed) {
			return err
		}
		b.writer.sealed = true
	}
	// The leader has taken the session of this process for expired. What it has not found, because it ended later, is
	// found by its bundle now.
	return s.RecoverUsage(ctx, b.writer.name)
}

// commitBundle adds a bundle to the usage of its tenants. It does nothing if an earlier call did it and lost the
// answer.
func (s *Store) commitBundle(ctx context.Context, b *usageBundle) error {
	entries := make([]usage.Entry, 0, len(b.entries))
	for _, e := range b.entries {
		entries = append(entries, e)
	}
	doc := s.usageWriterDoc(b.writer.name)
	return s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		var stored usageWriterDocument
		_, err := read(tx.Get, doc, &stored)
		switch {
		case err != nil && !isNotFound(err):
			return err
		case stored.Flushed >= b.number:
			return nil
		case stored.Sealed:
			return errUsageSealed
		}
		if err := s.addUsage(tx, b.writer.name, entries); err != nil {
			return err
		}
		return tx.Set(doc, map[string]any{"flushed": b.number}, firestore.MergeAll)
	})
}

// addUsage adds entries to the parts of the days of their tenants.
func (s *Store) addUsage(tx *firestore.Transaction, writer string, entries []usage.Entry) error {
	type change struct {
		doc  *firestore.DocumentRef
		part usage.Part
		adds []func(*usage.Part)
	}
	changes := map[string]*change{}
	add := func(collection string, e usage.Entry, f func(*usage.Part)) {
		doc := s.collection(e.Tenant, collection).Doc(usage.PartName(e.Day, fleet.ProcessOf(writer)))
		c := changes[doc.Path]
		if c == nil {
			c = &change{doc: doc, part: usage.Part{Day: e.Day}}
			changes[doc.Path] = c
		}
		c.adds = append(c.adds, f)
	}
	for _, e := range entries {
		add(usageParts, e, func(p *usage.Part) { p.Add(e) })
		if len(e.Labels) > 0 {
			add(labelUsageParts, e, func(p *usage.Part) { p.AddLabels(e) })
		}
	}
	var docs []*firestore.DocumentRef
	for _, c := range changes {
		docs = append(docs, c.doc)
	}
	if len(docs) == 0 {
		return nil
	}
	snaps, err := tx.GetAll(docs)
	if err != nil {
		return err
	}
	for _, snap := range snaps {
		c := changes[snap.Ref.Path]
		if snap.Exists() {
			if err := snap.DataTo(&c.part); err != nil {
				return err
			}
		}
		for _, f := range c.adds {
			f(&c.part)
		}
		day, err := time.Parse(time.DateOnly, c.part.Day)
		if err != nil {
			return err
		}
		c.part.Expires = day.Add(usage.Retention)
		if err := tx.Set(c.doc, &c.part); err != nil {
			return err
		}
	}
	return nil
}

// spendings returns what each tenant has spent.
func spendings(entries map[execution.Ref]usage.Entry) (spent []usage.Spending) {
	type tenantDay struct{ tenant, day string }
	byDay := map[tenantDay]int{} // position in spent
	for _, e := range entries {
		k := tenantDay{e.Tenant, e.Day}
		if _, ok := byDay[k]; !ok {
			byDay[k] = len(spent)
			spent = append(spent, usage.Spending{Tenant: e.Tenant, Day: e.Day, Agents: map[string]agent.DailyBudget{}})
		}
		spent[byDay[k]].NanoUSD += e.Counts.CostNanoUSD
		if e.DailyBudget != (agent.DailyBudget{}) {
			spent[byDay[k]].Agents[e.Key.AgentID] = e.DailyBudget
		}
	}
	return spent
}

// settleEnd finds out whether an execution has ended in a bundle. If it has not, a write makes sure that it never will:
// a write of its end that is still under way is conditional on the version before.
func (s *Store) settleEnd(ctx context.Context, ref execution.Ref, bundle string) error {
	doc := s.executionDoc(ref)
	for {
		var e execution.Execution
		_, version, err := readVersion(withoutTransaction(ctx), doc, &e)
		switch {
		case err != nil && !isNotFound(err):
			return err
		case err == nil && e.UsageBundle == bundle:
			s.usage.settle(ref, &e)
			return nil
		case err != nil || e.Status.Terminal():
			s.usage.settle(ref, nil)
			return nil
		}
		fence := firestore.Update{Path: "usageFence", Value: bundle}
		if e.UsageFence == bundle {
			fence.Value = firestore.Delete
		}
		_, err = doc.Update(ctx, []firestore.Update{fence}, firestore.LastUpdateTime(version))
		switch status.Code(err) {
		case codes.OK:
			s.usage.settle(ref, nil)
			return nil
		case codes.FailedPrecondition, codes.NotFound:
			continue
		default:
			return translateCommitError(err)
		}
	}
}
