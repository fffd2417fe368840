package metrics

// Histogram buckets in seconds.
var (
	requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	attemptBuckets = []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600}
)

// Metrics that package backlog reads from Firestore.
var (
	QueueDepth        = newDesc("airlock_queue_depth", "Queued executions.", "lane")
	ExecutionsRunning = newDesc("airlock_executions_running", "Executions that hold a lease.")
	BatchesInProgress = newDesc("airlock_batches_in_progress", "Batches that have not finished.")
	WebhooksPending   = newDesc("airlock_webhooks_pending", "Webhooks whose delivery is pending.")
)

// Metrics of internal/executor.
var (
	Slots           = gauge("airlock_executor_slots", "Jobs that the executor can run at the same time.")
	BusySlots       = gauge("airlock_executor_slots_busy", "Jobs that the executor is running.")
	DispatchLatency = histogram("airlock_dispatch_seconds",
		"Time from the acceptance of an execution to its first claim.", attemptBuckets, "lane")
	AttemptDuration = histogram("airlock_attempt_seconds",
		"Time from the claim of an attempt to its end.", attemptBuckets, "runtime")
	AttemptsFailed = counter("airlock_attempts_failed_total",
		"Attempts that failed because of Airlock itself, not the job, after the job had begun.").WithLabelValues()
	StartsFailed = counter("airlock_starts_failed_total",
		"Attempts whose job never began, by what did not start.", "cause")
	ExecutorPulling = gauge("airlock_executor_pulling",
		"1 while the executor pulls executions, 0 while its Engine does not start sandboxes.")
	UnavailableRuntimes = gauge("airlock_executor_unavailable_runtimes",
		"Runtimes whose image the executor could not start; it leaves their jobs to other executors.")
	LeasesLost = counter("airlock_leases_lost_total",
		"Attempts that lost their lease before they ended.").WithLabelValues()
	SandboxesStarted = counter("airlock_sandboxes_total",
		"Containers that received a job: cold, warm (it was already running), or ahead (its agent was, too).", "start")
	AgentsWaiting = gauges("airlock_agents_waiting",
		"Agents that have been started and wait for a job: any that fits, or the next turn of a conversation.", "for")
)

// ExecutionsFinished is counted by internal/store, because every change of an execution passes through its Apply.
var ExecutionsFinished = counter("airlock_executions_finished_total",
	"Executions that finished, with or without an attempt; code is empty for succeeded executions.",
	"status", "code", "runtime", "lane")

// Metrics of internal/membership.
var (
	FleetSessions = gauges("airlock_fleet_sessions",
		"Sessions that have not expired, by kind of process; set by the leader only.", "kind")
	FleetLeading  = gauge("airlock_fleet_leading", "1 while this process leads the fleet.")
	LeaderChanges = counter("airlock_fleet_leader_changes_total",
		"Times that this process became the leader.").WithLabelValues()
	FleetReads = counter("airlock_fleet_reads_total",
		"Documents that this process has read to know the fleet: the fleet document, or sessions.", "document")
	SessionsLost = counter("airlock_sessions_lost_total",
		"Sessions of this process that expired before they ended; their jobs were killed.").WithLabelValues()
)

// BudgetWarnings is a metric of internal/usagewriter.
var BudgetWarnings = counter("airlock_budget_warnings_total",
	"Limits of daily budgets that were reached: of a tenant or an agent, soft or hard.", "scope", "level")

// Signals is a metric of internal/watch.
var Signals = counter("airlock_signals_total", "Signals that this process has received, from others or from itself.", "kind")

// JanitorRepairs is a metric of internal/background/janitor.
var JanitorRepairs = counter("airlock_janitor_repairs_total",
	"Due executions that the janitor repaired, by resulting status.", "status")

// Metrics of internal/gateway.
var (
	ModelCalls = counter("airlock_model_calls_total",
		"Requests of sandboxes to a model: refused by the gateway, or the class of the provider's response (2xx, 4xx, 5xx; none).",
		"outcome")
	ModelTokens = counter("airlock_model_tokens_total", "Tokens that the provider counted, or the gateway estimated.", "model", "direction")
	ModelCost   = counter("airlock_model_cost_usd_total", "Cost of these tokens by the price list, in US dollars.", "model")
)

// Metrics of internal/gateway/forward.
var (
	NetworkConnections = counter("airlock_network_connections_total",
		"Connections of sandboxes to hosts of their environments, by outcome: connected, refused, failed.", "outcome")
	NetworkBytes = counter("airlock_network_bytes_total", "Bytes that sandboxes sent to and received from these hosts.", "direction")
)

// Metrics of internal/api.
var (
	HTTPRequests = counter("airlock_http_requests_total",
		"HTTP requests by route pattern; route is empty if no route matches.", "method", "route", "status")
	HTTPRequestDuration = histogram("airlock_http_request_seconds",
		"Time to the end of the response, without long polls.", requestBuckets, "method", "route")
	LongPolls = gauge("airlock_http_long_polls",
		"HTTP requests that are waiting for the end of an execution.")
)

// WebhookAttempts is a metric of internal/background/webhookdispatch.
var WebhookAttempts = counter("airlock_webhook_attempts_total",
	"Webhook delivery attempts, by resulting delivery state; pending means that a retry follows.", "state")

// BackgroundFailures is counted by internal/supervise for the loops of internal/background and internal/quota.
var BackgroundFailures = counter("airlock_background_failures_total",
	"Resources that a background loop skipped after an error, to try them again later.", "loop")
