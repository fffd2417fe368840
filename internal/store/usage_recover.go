package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

// recoverPageSize is how many executions one transaction of RecoverUsage counts.
const recoverPageSize = 100

// sealRetention is how long it is remembered that the usage of a writer was recovered.
const sealRetention = 7 * 24 * time.Hour

// RecoverUsage counts the executions that ended in bundles of a session and that its process has not counted. It must
// be called after the session has expired and before its document is deleted. It may be interrupted and repeated, also
// concurrently, and while the process lives: each execution is counted in the same transaction that removes the name of
// its bundle.
func (s *Store) RecoverUsage(ctx context.Context, session string) error {
	flushed, err := s.sealUsage(ctx, session)
	if err != nil {
		return err
	}
	for {
		more, err := s.recoverUsagePage(ctx, session, flushed)
		if err != nil || !more {
			return err
		}
	}
}

// sealUsage lets the writer flush no more bundles, and returns the number of the newest that it has flushed.
func (s *Store) sealUsage(ctx context.Context, writer string) (flushed int, err error) {
	doc := s.usageWriterDoc(writer)
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		var stored usageWriterDocument
		now, err := read(tx.Get, doc, &stored)
		if err != nil && !isNotFound(err) {
			return err
		}
		flushed = stored.Flushed
		if stored.Sealed {
			return nil
		}
		return tx.Set(doc, map[string]any{"sealed": true, "expires": now.Add(sealRetention)}, firestore.MergeAll)
	})
	return flushed, err
}

// recoverUsagePage counts some executions of a sealed writer.
func (s *Store) recoverUsagePage(ctx context.Context, writer string, flushed int) (more bool, err error) {
	after, before := bundlesAfter(writer, flushed)
	q := s.client.CollectionGroup(executions).Where("usageBundle", ">", after).Where("usageBundle", "<", before).
		OrderBy("usageBundle", firestore.Asc).Limit(recoverPageSize).
		Select("id", "tenant", "kind", "status", "lane", "agentId", "labels", "task.model", "task.dailyBudget", "attempt", "usage", "finishedAt")
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		snaps, err := tx.Documents(q).GetAll()
		if err != nil {
			return err
		}
		more = len(snaps) == recoverPageSize
		tenants := map[string]bool{}
		var entries []usage.Entry
		var counted []*firestore.DocumentRef
		for _, snap := range snaps {
			var e execution.Execution
			if err := snap.DataTo(&e); err != nil {
				return err
			}
			tenants[e.Tenant] = true
			if len(tenants) > maxBundleTenants {
				more = true
				break
			}
			entries, counted = append(entries, usage.EntryOf(&e)), append(counted, snap.Ref)
		}
		if err := s.addUsage(tx, writer, entries); err != nil {
			return err
		}
		for _, doc := range counted {
			if err := tx.Update(doc, []firestore.Update{{Path: "usageBundle", Value: firestore.Delete}}); err != nil {
				return err
			}
		}
		return nil
	})
	return more, err
}
