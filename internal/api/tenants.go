package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/usage"
	"github.com/airlock-run/airlock/internal/store"
)

// TenantStore stores the settings of tenants and counts their work. A tenant without a document has the defaults.
// UpdateTenantSettings changes only the fields that the patch names.
type TenantStore interface {
	Tenant(ctx context.Context, name string) (store.Tenant, error)
	Tenants(ctx context.Context, p store.TenantPage) ([]store.NamedTenant, error)
	UpdateTenantSettings(ctx context.Context, name string, p tenant.SettingsPatch) error
	TenantWork(ctx context.Context, name string, limit int) (store.Work, error)
	TotalWork(ctx context.Context, limit int) (store.Work, error)
	SpentToday(ctx context.Context, name string) (usage.Spent, error)
}

const (
	// listCountLimit bounds each of the four counts of each tenant in a list: Firestore charges one read for each.
	listCountLimit = 1_000
	// countLimit bounds the counts of one tenant, and of the installation: at most 100 reads for each.
	countLimit = 100_000
	// maxConcurrentCounts bounds how many tenants of a page are counted at the same time.
	maxConcurrentCounts = 8
)

// ListTenants returns a page of the tenants, with their work as it was at most workCountTTL ago.
func (s *Server) ListTenants(c echo.Context, params contract.ListTenantsParams) error {
	page, err := parsePageRequest(c, pageParams{params.Limit, params.Cursor})
	if err != nil {
		return err
	}
	p := store.TenantPage{Limit: page.limit + 1, OnlyWaiting: params.Waiting}
	if page.after != nil {
		p.After = page.after.id
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	tenants, err := s.stores.Tenants.Tenants(ctx, p)
	if err != nil {
		return err
	}
	tenants, next := trimPage(&page, tenants, func(t store.NamedTenant) cursorPosition { return cursorPosition{id: t.Name} })
	list := contract.TenantList{Tenants: make([]contract.Tenant, len(tenants)), NextCursor: next}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentCounts)
	for i, t := range tenants {
		g.Go(func() error {
			work, err := s.workCounts.ofTenant(t.Name).load(ctx, func(ctx context.Context) (store.Work, error) {
				return s.stores.Tenants.TenantWork(ctx, t.Name, listCountLimit)
			})
			list.Tenants[i] = contract.Tenant{Id: t.Name, Settings: viewSettings(t.Settings), Work: viewWork(work)}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, list)
}

// GetTenant returns the settings and the work of a tenant.
func (s *Server) GetTenant(c echo.Context, name contract.ID) error {
	if err := checkTenantName(name); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	return s.respondTenant(ctx, c, name)
}

func (s *Server) respondTenant(ctx context.Context, c echo.Context, name string) error {
	var (
		stored store.Tenant
		work   store.Work
		spent  usage.Spent
	)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { stored, err = s.stores.Tenants.Tenant(ctx, name); return err })
	g.Go(func() (err error) { work, err = s.stores.Tenants.TenantWork(ctx, name, countLimit); return err })
	g.Go(func() (err error) { spent, err = s.stores.Tenants.SpentToday(ctx, name); return err })
	if err := g.Wait(); err != nil {
		return err
	}
	limits := stored.Limits(s.config.TenantDefaults)
	return respondJSON(c, http.StatusOK, contract.TenantDetail{
		Id: name, Settings: viewSettings(stored.Settings), Work: viewWork(work), SpentTodayUsd: usage.USD(spent.NanoUSD),
		Limits: contract.TenantLimits{
			MaxQueued: limits.MaxQueued, MaxRunning: limits.MaxRunning, MaxDailyUsd: limits.MaxDailyUSD,
			SoftLimit: limits.SoftLimit, Weight: limits.Weight, TranscriptRetention: viewOptionalDuration(limits.TranscriptRetention),
		},
	})
}

// UpdateTenant applies a JSON Merge Patch to the settings of a tenant, and wakes its dispatcher.
func (s *Server) UpdateTenant(c echo.Context, name contract.ID) error {
	if err := checkTenantName(name); err != nil {
		return err
	}
	var body jsontext.Value
	if err := readJSON(c, &body, mediaTypeMergePatch); err != nil {
		return err
	}
	patch, err := parseSettingsPatch(body)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.stores.Tenants.UpdateTenantSettings(ctx, name, patch); err != nil {
		return err
	}
	_ = body.Compact() // it is valid
	s.log.Named("audit").Info("settings of a tenant changed", zap.String("tenant", name), zap.String("caller", callerOf(c).Subject),
		zap.String("request", requestID(c)), zap.ByteString("change", body))
	s.wakeDispatcher(ctx, name)
	return s.respondTenant(ctx, c, name)
}

// wakeDispatcher lets the dispatcher of a tenant read the tenant's settings.
func (s *Server) wakeDispatcher(ctx context.Context, name string) {
	const otherwise = "the dispatcher notices the settings later by itself"
	f, err := s.stores.Fleet.ReadFleet(ctx)
	if err != nil {
		s.log.Warn("could not find a tenant's dispatcher; "+otherwise, zap.String("tenant", name), zap.Error(err))
		return
	}
	if owner := f.Owner(name); owner != "" {
		s.sendSignals(ctx, otherwise, signal.Signal{To: owner, Kind: signal.KindWake, Tenant: name})
	}
}

// checkTenantName returns a NotFoundError for a text that cannot be the name of a tenant.
func checkTenantName(name string) error {
	if !tenant.ValidName(name) {
		return &store.NotFoundError{Resource: "tenant", ID: name}
	}
	return nil
}

// parseSettingsPatch reads a body that the contract allows. It tells a field that is null from one that is absent.
func parseSettingsPatch(body jsontext.Value) (p tenant.SettingsPatch, err error) {
	var fields map[string]jsontext.Value
	if err := json.Unmarshal(body, &fields); err != nil {
		return p, explainJSONError(err)
	}
	var fieldErrors []contract.FieldError
	for name, value := range fields {
		switch name {
		case "paused":
			err = parseField(value, &p.Paused)
		case "maxQueued":
			err = parseField(value, &p.MaxQueued)
		case "maxRunning":
			err = parseField(value, &p.MaxRunning)
		case "maxDailyUsd":
			err = parseField(value, &p.MaxDailyUSD)
		case "softLimit":
			err = parseField(value, &p.SoftLimit)
		case "weight":
			err = parseField(value, &p.Weight)
		case "transcriptRetention":
			var text tenant.FieldPatch[string]
			if err = parseField(value, &text); err == nil {
				p.TranscriptRetention, fieldErrors = parseRetentionPatch(text)
			}
		}
		if err != nil { // such as 1.0 for an integer, which JSON Schema allows
			return p, invalidField(name, "has the wrong type")
		}
	}
	if usd := p.MaxDailyUSD.Value; usd != nil && !usage.ValidLimit(*usd) {
		return p, invalidField("maxDailyUsd", fmt.Sprintf("must be 0, which is no limit, or at least %.6f", usage.MinLimitUSD))
	}
	return p, invalidFields(fieldErrors)
}

func parseRetentionPatch(text tenant.FieldPatch[string]) (p tenant.FieldPatch[time.Duration], errs []contract.FieldError) {
	p.Set = true
	if text.Value == nil {
		return p, nil
	}
	if p.Value, errs = transcriptRetentionField.parseOptional(*text.Value); p.Value == nil {
		errs = []contract.FieldError{fieldError(transcriptRetentionField.name, "must be a duration, or null")}
	}
	return p, errs
}

func parseField[T any](value jsontext.Value, field *tenant.FieldPatch[T]) error {
	field.Set = true
	return json.Unmarshal(value, &field.Value)
}

func viewSettings(t tenant.Settings) contract.TenantSettings {
	return contract.TenantSettings{
		Paused: t.Paused, MaxQueued: t.MaxQueued, MaxRunning: t.MaxRunning, MaxDailyUsd: t.MaxDailyUSD, SoftLimit: t.SoftLimit, Weight: t.Weight,
		TranscriptRetention: viewOptionalDuration(t.TranscriptRetention),
	}
}

func viewWork(w store.Work) contract.Work {
	return contract.Work{
		Waiting:    contract.LaneCounts{Interactive: w.Waiting.Interactive, Batch: w.Waiting.Batch},
		Running:    contract.LaneCounts{Interactive: w.Running.Interactive, Batch: w.Running.Batch},
		CountLimit: w.Limit,
	}
}
