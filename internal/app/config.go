// Package app puts the parts together: the API, the executor, and on one
// machine both with the emulators. cmd/* call it and do nothing else.
package app

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// Version of this build; set by the linker.
var Version = "dev"

// Services says where Firestore and Pub/Sub are.
type Services struct {
	// Project is the Google Cloud project. Emulators take any name.
	Project string `env:"GOOGLE_CLOUD_PROJECT"`
	// FirestoreHost and PubSubHost are host:port of emulators; empty means Google's services. Google's Firestore client
	// must not find its variable: it would make a connection of its own then, and pass over how ours reconnect.
	FirestoreHost string `env:"FIRESTORE_EMULATOR_HOST,unset"`
	PubSubHost    string `env:"PUBSUB_EMULATOR_HOST"`
}

// Cloud says where everything is that is kept.
type Cloud struct {
	Services
	// BlobURL is where large results and the files of jobs are kept: gs://bucket, or file:///folder that the API and
	// the executors share. Default: with emulators a folder of this user's, for all that runs on this machine.
	BlobURL string `env:"AIRLOCK_BLOB_URL"`
}

// API is the configuration of the API.
type API struct {
	Cloud
	// Listen is the address of the API and the page, host:port.
	ListenAddr string `env:"AIRLOCK_LISTEN_ADDR" envDefault:"127.0.0.1:8000"`
	Auth
	TenantLimits
	RequestLimits
	// DefaultRuntime is of agents that choose none, and of the conversations that build agents. Default: the first
	// of the runtimes; on one machine claude, where ANTHROPIC_API_KEY is set and AIRLOCK_RUNTIMES_FILE is not.
	DefaultRuntime string `env:"AIRLOCK_DEFAULT_RUNTIME"`
	// RuntimesFile says in YAML which runtimes there are, see docs/runtimes.md; the executors' has to be the same.
	// Default: offline and claude.
	RuntimesFile string `env:"AIRLOCK_RUNTIMES_FILE"`
	// BatchWindow is how many executions of a tenant's batches may be queued or running at once; they share it.
	BatchWindow int `env:"AIRLOCK_BATCH_WINDOW" envDefault:"200"`
	// QueueTimeout is how long after its acceptance an execution may still begin that asks for no other time; 1s to 168h.
	QueueTimeout time.Duration `env:"AIRLOCK_QUEUE_TIMEOUT" envDefault:"24h"`
	// Origins may call the API from pages elsewhere (CORS).
	CORSAllowedOrigins []string `env:"AIRLOCK_CORS_ORIGINS" envDefault:"http://localhost:3000"`
	// Grace is how long requests may take to end after a stop was asked for.
	ShutdownGracePeriod time.Duration `env:"AIRLOCK_SHUTDOWN_GRACE" envDefault:"5s"`
	// Drain is how long the API goes on before that, while /readyz answers 503: what a load balancer takes to notice.
	ShutdownDrainPeriod time.Duration `env:"AIRLOCK_SHUTDOWN_DRAIN"`
	// WebhookPrivate are the networks beyond the public ones that webhooks may go to (CIDR); where there are some,
	// unencrypted http may be used as well. The executors' and the API's have to be the same. Default: none; on one
	// machine, loopback.
	WebhookPrivateNetworks []netip.Prefix `env:"AIRLOCK_WEBHOOK_ALLOW_PRIVATE"`
	// MetricsListen is an address of its own for /metrics, host:port; they are not on Listen then. Anybody who reaches
	// it may read them; they name no tenant. Default: on Listen, open to all.
	MetricsListenAddr string `env:"AIRLOCK_METRICS_LISTEN_ADDR"`
	// Traces are OpenTelemetry's own variables. Default: nothing is traced.
	Traces trace.Settings
}

// Executor is the configuration of an executor.
type Executor struct {
	Cloud
	TenantLimits
	// Name of this executor in logs and labels; unique among all. Default: the host's name and a random part.
	Name string `env:"AIRLOCK_EXECUTOR_NAME"`
	// Slots is how many jobs run at once. Each may use 1 GiB of memory and a CPU. Default: the number of CPUs, at least 2.
	Slots int `env:"AIRLOCK_EXECUTOR_SLOTS"`
	// Reserved is how many of the slots batches leave to conversations and single runs. Default: a quarter, at least 1
	// where there are 2 or more.
	ReservedSlots int `env:"AIRLOCK_EXECUTOR_RESERVED_SLOTS" envDefault:"-1"`
	// Grace is how long jobs may go on after a stop was asked for; what is not done then is handed back.
	ShutdownGracePeriod time.Duration `env:"AIRLOCK_SHUTDOWN_GRACE" envDefault:"20s"`

	// Retention is how long what has ended is kept: executions with their files, batches, deliveries of webhooks, and
	// conversations since their newest message. 0 keeps it for ever.
	Retention time.Duration `env:"AIRLOCK_RETENTION" envDefault:"720h"`

	// DockerHost is the Engine's address. Default: unix:///var/run/docker.sock.
	DockerHost string `env:"DOCKER_HOST"`
	// SandboxRuntime is the Engine's OCI runtime: runc, or runsc (gVisor).
	OCIRuntime string `env:"AIRLOCK_SANDBOX_RUNTIME" envDefault:"runc"`
	// SocketDir holds the sandboxes' egress sockets. An executor that runs in a container itself needs it
	// mounted from the host under the same path.
	SocketDir string `env:"AIRLOCK_SANDBOX_SOCKET_DIR" envDefault:"/run/airlock"`
	// RuntimesFile says in YAML which runtimes there are, see docs/runtimes.md. Default: offline and claude.
	RuntimesFile string `env:"AIRLOCK_RUNTIMES_FILE"`
	// SandboxWarm is how many containers of each available runtime wait for a job at least; where demand is higher,
	// up to Slots do. One that waits costs some 3 MB of memory and no CPU. With 0 every job starts its own.
	WarmPoolSize int `env:"AIRLOCK_WARM_POOL_SIZE" envDefault:"1"`
	// SandboxWarmAge is how old a container may get without a job; a rebuilt image is in use after that at the latest.
	WarmPoolMaxAge time.Duration `env:"AIRLOCK_WARM_POOL_MAX_AGE" envDefault:"10m"`
	// OfflineImage and ClaudeImage are the images of these two, where RuntimesFile is not set.
	OfflineImage string `env:"AIRLOCK_OFFLINE_IMAGE" envDefault:"airlock/sandbox-offline:dev"`
	ClaudeImage  string `env:"AIRLOCK_CLAUDE_IMAGE" envDefault:"airlock/sandbox-claude:dev"`

	// AnthropicKey switches the claude runtime on. Only the egress gateway uses it; no sandbox ever holds it.
	AnthropicAPIKey string `env:"ANTHROPIC_API_KEY"`
	// AnthropicURL is where the Messages API is.
	AnthropicBaseURL *url.URL `env:"ANTHROPIC_BASE_URL" envDefault:"https://api.anthropic.com"`
	// AnthropicCA is a file of certificate authorities in PEM that the Messages API's may come from, besides the system's.
	AnthropicCAFile string `env:"AIRLOCK_ANTHROPIC_CA_FILE"`
	// AnthropicPrivate lets the name in AnthropicURL resolve to an address that is not public.
	AnthropicAllowPrivate bool `env:"AIRLOCK_ANTHROPIC_ALLOW_PRIVATE"`
	// ClaudeModels may be used; the first is the default. Default: those that the runtime knows.
	ClaudeModels []string `env:"AIRLOCK_CLAUDE_MODELS"`
	// MaxTokens and MaxCostUSD bound what one execution may use of a model. An agent's own budget cannot
	// raise them. Default: no bound.
	MaxTokens  int64   `env:"AIRLOCK_MAX_TOKENS"`
	MaxCostUSD float64 `env:"AIRLOCK_MAX_COST_USD"`

	// ReceiptKeyFile holds the ed25519 key that signs receipts (PKCS #8, PEM). Default: receipts are not signed.
	ReceiptKeyFile string `env:"AIRLOCK_RECEIPT_KEY_FILE"`
	// WebhookPrivate are the networks beyond the public ones that webhooks may go to (CIDR); where there are some,
	// unencrypted http may be used as well. The executors' and the API's have to be the same. Default: none; on one
	// machine, loopback.
	WebhookPrivateNetworks []netip.Prefix `env:"AIRLOCK_WEBHOOK_ALLOW_PRIVATE"`
	// MetricsListen is where /metrics is, host:port. Default: nowhere.
	MetricsListenAddr string `env:"AIRLOCK_METRICS_LISTEN_ADDR"`
	// Traces are OpenTelemetry's own variables. Default: nothing is traced.
	Traces trace.Settings
}

// LoadAPI reads the API's configuration from the environment and reports
// everything that is wrong with it at once.
func LoadAPI() (API, error) {
	c, err := env.ParseAs[API]()
	c.setDefaults()
	return c, errors.Join(err, c.validate())
}

// LoadExecutor reads an executor's configuration in the same way.
func LoadExecutor() (Executor, error) {
	c, err := env.ParseAs[Executor]()
	c.setDefaults()
	return c, errors.Join(err, c.validate())
}

func (c *Cloud) validate() error {
	if c.BlobURL == "" {
		return errors.Join(c.Services.validate(),
			errors.New("AIRLOCK_BLOB_URL is not set, such as gs://bucket (needed unless FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST both are)"))
	}
	return c.Services.validate()
}

func (s *Services) validate() error {
	var errs []error
	if s.Project == "" {
		if s.FirestoreHost == "" || s.PubSubHost == "" {
			errs = append(errs, errors.New("GOOGLE_CLOUD_PROJECT is not set (needed unless FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST both are)"))
		} else {
			s.Project = LocalProject
		}
	}
	for name, host := range map[string]string{"FIRESTORE_EMULATOR_HOST": s.FirestoreHost, "PUBSUB_EMULATOR_HOST": s.PubSubHost} {
		if _, _, err := net.SplitHostPort(host); host != "" && err != nil {
			errs = append(errs, fmt.Errorf("%s must be host:port, not %q", name, host))
		}
	}
	return errors.Join(errs...)
}

func (c *API) validate() error {
	errs := []error{c.Cloud.validate(), c.TenantLimits.validate(), c.Traces.Validate(), validateNotNegative("AIRLOCK_SHUTDOWN_GRACE", c.ShutdownGracePeriod), validateNotNegative("AIRLOCK_SHUTDOWN_DRAIN", c.ShutdownDrainPeriod)}
	if c.QueueTimeout < execution.MinQueueTimeout || c.QueueTimeout > execution.MaxQueueTimeout {
		errs = append(errs, fmt.Errorf("AIRLOCK_QUEUE_TIMEOUT must be from %s to %s, not %s", execution.MinQueueTimeout, execution.MaxQueueTimeout, c.QueueTimeout))
	}
	if c.BatchWindow < 1 {
		errs = append(errs, fmt.Errorf("AIRLOCK_BATCH_WINDOW must be at least 1, not %d", c.BatchWindow))
	}
	if _, _, err := net.SplitHostPort(c.ListenAddr); err != nil {
		errs = append(errs, fmt.Errorf("AIRLOCK_LISTEN_ADDR must be host:port, not %q", c.ListenAddr))
	} else {
		errs = append(errs, c.validateAuth())
	}
	errs = append(errs, c.RequestLimits.validate(), validateMetricsListenAddr(c.MetricsListenAddr))
	runtimes, err := catalog.Load(c.RuntimesFile)
	if err != nil {
		errs = append(errs, fmt.Errorf("AIRLOCK_RUNTIMES_FILE: %w", err))
	} else if !slices.Contains(runtimes.Names(), c.DefaultRuntime) {
		errs = append(errs, fmt.Errorf("AIRLOCK_DEFAULT_RUNTIME must be one of %v, not %q", runtimes.Names(), c.DefaultRuntime))
	}
	return errors.Join(errs...)
}

func (c *API) setDefaults() {
	c.setDefaultBlobURL()
	// A file that cannot be read is check's to report.
	if runtimes, err := catalog.Load(c.RuntimesFile); err == nil && c.DefaultRuntime == "" {
		c.DefaultRuntime = runtimes.Names()[0]
	}
}

func (c *Executor) setDefaults() {
	c.setDefaultBlobURL()
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "executor"
		}
		c.Name = id.New(host + "-")
	}
	if c.Slots == 0 {
		c.Slots = max(2, runtime.NumCPU())
	}
	if c.ReservedSlots < 0 {
		c.ReservedSlots = min(max(1, c.Slots/4), c.Slots-1)
	}
}

func (c *Executor) validate() error {
	errs := []error{
		c.Cloud.validate(), c.TenantLimits.validate(), c.Traces.Validate(), validateNotNegative("AIRLOCK_SHUTDOWN_GRACE", c.ShutdownGracePeriod), validateMetricsListenAddr(c.MetricsListenAddr),
	}
	if c.Slots < 1 {
		errs = append(errs, fmt.Errorf("AIRLOCK_EXECUTOR_SLOTS must be at least 1, not %d", c.Slots))
	} else if c.ReservedSlots >= c.Slots {
		errs = append(errs, fmt.Errorf("AIRLOCK_EXECUTOR_RESERVED_SLOTS must be less than the %d AIRLOCK_EXECUTOR_SLOTS, not %d", c.Slots, c.ReservedSlots))
	}
	if c.Retention != 0 && c.Retention < time.Hour {
		errs = append(errs, fmt.Errorf("AIRLOCK_RETENTION must be at least 1h, or 0 to keep everything, not %s", c.Retention))
	}
	if c.WarmPoolSize < 0 {
		errs = append(errs, fmt.Errorf("AIRLOCK_WARM_POOL_SIZE must be at least 0, not %d", c.WarmPoolSize))
	}
	if c.WarmPoolMaxAge <= 0 {
		errs = append(errs, fmt.Errorf("AIRLOCK_WARM_POOL_MAX_AGE must be more than nothing, not %s", c.WarmPoolMaxAge))
	}
	if c.MaxTokens < 0 || c.MaxCostUSD < 0 || math.IsNaN(c.MaxCostUSD) {
		errs = append(errs, errors.New("AIRLOCK_MAX_TOKENS and AIRLOCK_MAX_COST_USD cannot be negative"))
	}
	if _, err := catalog.Load(c.RuntimesFile); err != nil {
		errs = append(errs, fmt.Errorf("AIRLOCK_RUNTIMES_FILE: %w", err))
	}
	_, keyErr := c.loadReceiptKey()
	if _, err := loadCertPool(c.AnthropicCAFile); err != nil {
		errs = append(errs, fmt.Errorf("AIRLOCK_ANTHROPIC_CA_FILE: %w", err))
	}
	return errors.Join(append(errs, keyErr)...)
}

func validateNotNegative(variable string, d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s must not be negative, not %s", variable, d)
	}
	return nil
}

// loopback reports whether only this machine can reach what listens on host.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
