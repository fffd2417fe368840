package metrics

// Buckets in seconds: of what is answered at once, and of what runs.
var (
	requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	attemptBuckets = []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600}
)

// The executors'.
var (
	Slots            = gauge("airlock_executor_slots", "Jobs that the executor runs at once.").WithLabelValues()
	BusySlots        = gauge("airlock_executor_slots_busy", "Jobs that it runs now.").WithLabelValues()
	DispatchLatency  = histogram("airlock_dispatch_seconds", "From an execution's acceptance to its first claim.", attemptBuckets, "lane")
	AttemptDuration  = histogram("airlock_attempt_seconds", "From the claim of an attempt to its end.", attemptBuckets, "runtime")
	AttemptsFailed   = counter("airlock_attempts_failed_total", "Attempts that Airlock itself could not carry through.").WithLabelValues()
	LeasesLost       = counter("airlock_leases_lost_total", "Attempts that lost their lease before they ended.").WithLabelValues()
	SandboxesStarted = counter("airlock_sandboxes_total", "Containers that were given a job; warm ones had been started before it came.", "start")
)

// Ended is the store's, where everything that ends an execution comes by.
var ExecutionsFinished = counter("airlock_executions_finished_total", "Executions that ended, after an attempt or without one; code is empty for those that succeeded.", "status", "code", "runtime", "lane")

// Repairs are the janitor's.
var JanitorRepairs = counter("airlock_janitor_repairs_total", "Executions that the janitor found due and put right, by the status that this led to.", "status")

// The gateway's.
var (
	ModelCalls  = counter("airlock_model_calls_total", "Requests of sandboxes: refused by the gateway, or the provider's answer by class (2xx, 4xx, 5xx; none).", "outcome")
	ModelTokens = counter("airlock_model_tokens_total", "Tokens that the provider counted.", "model", "direction")
	ModelCost   = counter("airlock_model_cost_usd_total", "What they cost by the price list, in US dollars.", "model")
)

// The API's.
var (
	HTTPRequests        = counter("airlock_http_requests_total", "Requests by the route's pattern; empty where there is none.", "method", "route", "status")
	HTTPRequestDuration = histogram("airlock_http_request_seconds", "Time to the whole answer, of requests that did not ask to wait.", requestBuckets, "method", "route")
	LongPolls           = gauge("airlock_http_long_polls", "Requests that wait for the end of an execution now.").WithLabelValues()
)

// WebhookAttempts are the couriers'.
var WebhookAttempts = counter("airlock_webhook_attempts_total", "Attempts to deliver a webhook, by what became of the delivery: pending is one that failed and is tried again.", "state")

// What waits in Firestore, as package backlog reports it.
var (
	QueueDepth        = newDesc("airlock_queue_depth", "Executions that are queued.", "lane")
	QueueAge          = newDesc("airlock_queue_age_seconds", "How long ago the oldest queued execution was accepted; 0 when none is.", "lane")
	ExecutionsRunning = newDesc("airlock_executions_running", "Executions that hold a lease.")
	BatchesInProgress = newDesc("airlock_batches_in_progress", "Batches that have not ended.")
	WebhooksPending   = newDesc("airlock_webhooks_pending", "Webhooks that have not been delivered, nor given up.")
)
