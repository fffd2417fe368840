package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/watch"
)

// GetEvents streams the changes of the tenant's executions until the client disconnects. They come from the signals
// that this process receives as a watcher of the tenant: no change and no client costs a read.
func (s *Server) GetEvents(c echo.Context, _ contract.GetEventsParams) error {
	release, err := s.streamSlots.acquire(tenantID(c))
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := storeContext(c)
	defer cancel()
	feed, gap := s.watchers.Follow(tenantID(c), c.Request().Header.Get("Last-Event-ID"))
	defer feed.Close()
	if err := feed.RegisterTenant(ctx); err != nil {
		return err
	}
	stream := &eventStream{c: c, controller: http.NewResponseController(c.Response())}
	stream.writeHeader()
	// An ID without data is no event, but a client that reconnects sends it.
	if err := stream.write("id: " + feed.Position() + "\n\n"); err != nil {
		return err
	}
	for {
		if gap {
			if err := stream.writeEvent("reload", feed.Position(), struct{}{}); err != nil {
				return err
			}
		}
		var changes []watch.Change
		changes, gap = feed.Next()
		for i := range changes {
			if err := stream.writeChange(&changes[i]); err != nil {
				return err
			}
		}
		if gap {
			continue
		}
		if err := stream.keepAlive(); err != nil {
			return err
		}
		if err := s.waitForChange(c, feed.Notified, keepAliveInterval); err != nil {
			if endsQuietly(c, err) {
				return nil
			}
			return err
		}
	}
}

func (s *eventStream) writeChange(ch *watch.Change) error {
	if ch.Budget != nil {
		return s.writeEvent("budget_warning", ch.ID, viewBudgetWarningEvent(ch.Budget, ch.At))
	}
	return s.writeEvent("change", ch.ID, viewChange(ch))
}

func viewBudgetWarningEvent(b *signal.Budget, at time.Time) contract.BudgetWarningEvent {
	scope := contract.BudgetScopeTenant
	if b.AgentID != "" {
		scope = contract.BudgetScopeAgent
	}
	return contract.BudgetWarningEvent{
		Scope: scope, AgentId: b.AgentID, Day: b.Day, LimitUsd: b.LimitUSD, SoftLimit: b.SoftLimit, SpentUsd: b.SpentUSD, At: at,
	}
}

func viewChange(ch *watch.Change) contract.ChangeEvent {
	return contract.ChangeEvent{
		ExecutionId: ch.ExecutionID, Kind: contract.Kind(ch.Kind), Status: contract.Status(ch.Status), Attempt: ch.Attempt,
		AgentId: ch.AgentID, BatchId: ch.BatchID, ConversationId: ch.ConversationID, At: ch.At,
	}
}
