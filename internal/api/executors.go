package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/store"
)

// FleetStore knows the processes of the installation. Executors lists sessions by the names of their executors, and
// returns the store's time. SetDraining returns the sessions of this name, or a *store.NotFoundError. A signal that
// SendSignals could not send costs time only: its receiver notices later by itself.
type FleetStore interface {
	ReadFleet(ctx context.Context) (store.FleetSnapshot, error)
	Executors(ctx context.Context, p store.ExecutorPage) ([]fleet.Session, time.Time, error)
	SetDraining(ctx context.Context, name string, drain bool) ([]fleet.Session, error)
	SendSignals(ctx context.Context, signals ...signal.Signal) error
}

// ListExecutors returns a page of the executors.
func (s *Server) ListExecutors(c echo.Context, params contract.ListExecutorsParams) error {
	page, err := parsePageRequest(c, pageParams{params.Limit, params.Cursor})
	if err != nil {
		return err
	}
	p := store.ExecutorPage{Limit: page.limit + 1}
	if page.after != nil {
		p.AfterName, p.AfterSession, _ = strings.Cut(page.after.id, cursorSeparator)
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	sessions, now, err := s.stores.Fleet.Executors(ctx, p)
	if err != nil {
		return err
	}
	sessions, next := trimPage(&page, sessions, func(session fleet.Session) cursorPosition {
		return cursorPosition{id: session.Name + cursorSeparator + session.ID}
	})
	executors := viewAll(sessions, func(session fleet.Session) contract.Executor { return viewExecutor(session, now) })
	return respondJSON(c, http.StatusOK, contract.ExecutorList{Executors: executors, NextCursor: next})
}

// cursorSeparator separates the name of an executor from the ID of its session, in a cursor.
const cursorSeparator = "\x00"

// DrainExecutor lets an executor take no more executions.
func (s *Server) DrainExecutor(c echo.Context, name string) error {
	return s.setDraining(c, name, true)
}

// ResumeExecutor lets an executor take executions again.
func (s *Server) ResumeExecutor(c echo.Context, name string) error {
	return s.setDraining(c, name, false)
}

func (s *Server) setDraining(c echo.Context, name string, drain bool) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	sessions, err := s.stores.Fleet.SetDraining(ctx, name, drain)
	if err != nil {
		return err
	}
	signals := make([]signal.Signal, len(sessions))
	for i, session := range sessions {
		signals[i] = signal.Signal{To: session.Process, Kind: signal.KindDrain}
	}
	s.sendSignals(ctx, "the executor notices later by itself", signals...)
	newest := sessions[0]
	for _, session := range sessions[1:] {
		if session.StartedAt.After(newest.StartedAt) {
			newest = session
		}
	}
	view := viewExecutor(newest, newest.RenewedAt) // SetDraining returns only sessions that have not expired
	view.Draining = drain
	if x := newest.Executor; !drain && x != nil && x.Draining {
		view.Reason = "takes executions with its next renewal"
	}
	return respondJSON(c, http.StatusAccepted, view)
}

// sendSignals sends signals about a change that is durable already. otherwise says what happens without them.
func (s *Server) sendSignals(ctx context.Context, otherwise string, signals ...signal.Signal) {
	if err := s.stores.Fleet.SendSignals(ctx, signals...); err != nil {
		s.log.Warn("could not send a signal; "+otherwise, zap.Error(err))
	}
}

// viewExecutor leaves out the address and the token by which processes reach each other.
func viewExecutor(session fleet.Session, now time.Time) contract.Executor {
	v := contract.Executor{
		Name: session.Name, Session: session.ID, Version: session.Version, StartedAt: session.StartedAt, RenewedAt: session.RenewedAt,
		Alive: !session.Expired(now), Draining: session.Drain, Runtimes: []contract.ExecutorRuntime{},
	}
	if x := session.Executor; x != nil {
		v.Architecture, v.Labels, v.Pulling, v.Reason = x.Architecture, x.Labels, x.Pulling, x.Reason
		v.Slots, v.ReservedSlots, v.BusySlots = x.Slots, x.Reserved, x.Busy
		v.Draining = v.Draining || x.Draining
		v.Runtimes = viewAll(x.Runtimes, func(r fleet.Runtime) contract.ExecutorRuntime {
			return contract.ExecutorRuntime{Name: r.Name, Image: r.Image, Unavailable: r.Unavailable}
		})
	}
	return v
}
