package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
)

// GetStatus returns the health of each part, and how much work waits and runs. It succeeds also if a part does not
// work.
func (s *Server) GetStatus(c echo.Context) error {
	const advice = "Is it up, and are there Google credentials?"
	var f store.FleetSnapshot
	checks := s.checkDependencies(c,
		dependency{"firestore", advice, func(ctx context.Context) (err error) {
			f, err = s.stores.Fleet.ReadFleet(ctx)
			return err
		}},
		dependency{"pubsub", advice, s.queue.Check},
	)
	status := contract.InstallationStatus{
		Version: s.config.Version, Time: time.Now(),
		Checks: viewAll(checks, func(check contract.Check) contract.StatusCheck { return contract.StatusCheck(check) }),
	}
	if firestore := checks[0]; firestore.Ok {
		ctx, cancel := storeContext(c)
		defer cancel()
		status.Time = f.Now
		status.Checks = append(status.Checks, checkFleet(f)...)
		status.Fleet = viewFleet(f.Fleet)
		work, err := s.workCounts.total.load(ctx, func(ctx context.Context) (store.Work, error) {
			return s.stores.Tenants.TotalWork(ctx, countLimit)
		})
		if err != nil {
			s.log.Warn("could not count the work", zap.Error(err))
		} else {
			status.Work = viewWork(work)
		}
	}
	if err := c.Request().Context().Err(); err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, status)
}

// checkFleet checks what the leader of the executors publishes.
func checkFleet(f store.FleetSnapshot) []contract.StatusCheck {
	leader := contract.StatusCheck{Name: "leader", Ok: f.Led(f.Now)}
	switch {
	case f.Leader == "":
		leader.Detail = "No executor has led yet. Start one."
	case !leader.Ok:
		leader.Detail = fmt.Sprintf("No executor leads since %s: nothing is dispatched, and jobs of dead executors wait. Is one running?",
			f.RenewedAt.UTC().Format(time.RFC3339))
	}
	executors := contract.StatusCheck{Name: "executors"}
	switch {
	case !leader.Ok || f.Executors == 0:
		executors.Detail = "No executor is known to live, so work waits. Start one."
	case f.Slots[execution.LaneInteractive] == 0: // an executor that drains or does not pull has none
		executors.Detail = fmt.Sprintf("No executor takes executions, so work waits: of %d, each drains or cannot start jobs. GET /executors says why.", f.Executors)
	default:
		executors.Ok = true
	}
	owned := ownedPartitions(f.Fleet)
	dispatchers := contract.StatusCheck{Name: "dispatchers", Ok: leader.Ok && owned == fleet.Partitions}
	if !dispatchers.Ok {
		dispatchers.Detail = fmt.Sprintf("%d of %d parts of the tenants have a dispatcher. The leader assigns the others within seconds.", owned, fleet.Partitions)
	}
	return []contract.StatusCheck{leader, executors, dispatchers}
}

func ownedPartitions(f fleet.Fleet) (owned int) {
	for _, owner := range f.Owners {
		if owner != "" {
			owned++
		}
	}
	return owned
}

func viewFleet(f fleet.Fleet) contract.FleetStatus {
	if f.Leader == "" {
		return contract.FleetStatus{}
	}
	return contract.FleetStatus{
		Leader: f.Leader, RenewedAt: f.RenewedAt, Executors: f.Executors, Apis: f.APIs, Runtimes: f.StartableRuntimes(),
		Partitions: fleet.Partitions, OwnedPartitions: ownedPartitions(f),
		Slots: contract.LaneCounts{Interactive: f.Slots[execution.LaneInteractive], Batch: f.Slots[execution.LaneBatch]},
	}
}
