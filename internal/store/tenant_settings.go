package store

import (
	"context"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// NamedTenant is the document of a tenant with its name.
type NamedTenant struct {
	Name string
	tenant.Tenant
}

// TenantPage is a part of the list of tenants, which is ordered by their names.
type TenantPage struct {
	After       string // the last name of the page before; empty: the first page
	Limit       int
	OnlyWaiting bool // only tenants in which executions wait for the dispatcher
}

// Tenants returns the tenants that have a document: those with settings, and those whose work the dispatcher has
// published at some time.
func (s *Store) Tenants(ctx context.Context, p TenantPage) ([]NamedTenant, error) {
	q := s.client.Collection("tenants").OrderBy(firestore.DocumentID, firestore.Asc).Limit(p.Limit)
	if p.OnlyWaiting {
		q = q.Where("backlogged", "==", true)
	}
	if p.After != "" {
		q = q.StartAfter(p.After)
	}
	snaps, err := q.Documents(ctx).GetAll()
	if err != nil {
		return nil, translateError(err)
	}
	found := make([]NamedTenant, len(snaps))
	for i, snap := range snaps {
		found[i].Name = snap.Ref.ID
		if err := snap.DataTo(&found[i].Tenant); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// UpdateTenantSettings changes the settings that the patch names, and no other field of the document, in one write. A
// tenant without a document gets one. A tenant that is no longer paused waits in both lanes: the dispatcher looks for
// what could not begin meanwhile. A repeated call changes nothing.
func (s *Store) UpdateTenantSettings(ctx context.Context, name string, p tenant.SettingsPatch) error {
	settings := map[string]any{}
	patchField(settings, "paused", p.Paused)
	patchField(settings, "maxQueued", p.MaxQueued)
	patchField(settings, "maxRunning", p.MaxRunning)
	patchField(settings, "maxDailyUsd", p.MaxDailyUSD)
	patchField(settings, "softLimit", p.SoftLimit)
	patchField(settings, "weight", p.Weight)
	patchField(settings, "transcriptRetention", p.TranscriptRetention)
	document := map[string]any{"partition": fleet.Partition(name)}
	if len(settings) > 0 {
		document["settings"] = settings
	}
	if p.Paused.Set && (p.Paused.Value == nil || !*p.Paused.Value) {
		document["backlogged"] = true
		document["backlog"] = map[string]any{
			string(execution.LaneInteractive): tenant.LaneWaiting, string(execution.LaneBatch): tenant.LaneWaiting,
		}
	}
	_, err := s.tenantDoc(name).Set(ctx, document, firestore.MergeAll)
	return translateCommitError(err)
}

func patchField[T any](settings map[string]any, name string, p tenant.FieldPatch[T]) {
	switch {
	case !p.Set:
	case p.Value == nil:
		settings[name] = firestore.Delete
	default:
		settings[name] = *p.Value
	}
}
