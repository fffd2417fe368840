package api

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// quickReads are the intervals at which a queued execution is read before this process registers as a watcher of it. An
// execution that was just accepted is about to be claimed; a registration at the same moment would make the claim start
// anew.
var quickReads = []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}

// maxQuickReaders is the number of waiting requests up to which executions are read at these intervals.
const maxQuickReaders = 200

// watcher lets one request wait for an execution: it decides when the process registers as a watcher, and when the
// execution is read again although no signal has arrived.
type watcher struct {
	server     *Server
	kind       store.WatchKind
	quickReads []time.Duration // that are left
}

func (s *Server) newWatcher(kind store.WatchKind) *watcher {
	w := &watcher{server: s, kind: kind, quickReads: quickReads}
	if s.watchers.Len() > maxQuickReaders {
		w.quickReads = nil
	}
	return w
}

// readVersion is what a watcher needs to know of an execution that was read.
type readVersion struct {
	execution.Execution // only its name, status and watchers
	version             time.Time
}

func versionOf(e *execution.Execution, version time.Time) readVersion {
	return readVersion{
		Execution: execution.Execution{ID: e.ID, Tenant: e.Tenant, Status: e.Status, Watchers: e.Watchers}, version: version,
	}
}

// next returns how long to wait for a signal after an execution was read; 0 means that it has changed since, and must
// be read again at once.
func (w *watcher) next(ctx context.Context, read *readVersion) time.Duration {
	if len(w.quickReads) > 0 && read.Status == execution.Queued {
		interval := w.quickReads[0]
		w.quickReads = w.quickReads[1:]
		return interval
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err := w.server.watchers.Register(ctx, &read.Execution, read.version, w.kind)
	switch {
	case errors.Is(err, store.ErrChanged):
		return 0
	case err != nil && ctx.Err() == nil:
		w.server.log.Warn("could not register as a watcher; the execution is read every few seconds",
			zap.String("execution", read.ID), zap.String("tenant", read.Tenant), zap.Error(err))
	}
	return w.server.pollInterval()
}
