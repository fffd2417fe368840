package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Executor is the configuration of an executor.
type Executor struct {
	Common
	// Name of this executor in logs and labels; it must be unique. Default: the host's name and a random part.
	Name string `env:"AIRLOCK_EXECUTOR_NAME"`
	// Slots is the number of jobs that run at the same time. Each may use 1 GiB of memory and one CPU. Default: the
	// number of CPUs, at least 2.
	Slots int `env:"AIRLOCK_EXECUTOR_SLOTS"`
	// Labels are what the operator wants to tell executors apart by, "name=value,name=value".
	Labels Labels `env:"AIRLOCK_EXECUTOR_LABELS"`
	// ReservedSlots is the number of slots that batches leave free for conversations and single runs. Default (-1): a
	// quarter of the slots, at least 1 if there are 2 or more.
	ReservedSlots int `env:"AIRLOCK_EXECUTOR_RESERVED_SLOTS" envDefault:"-1"`
	// ShutdownGracePeriod is the time that jobs have to finish after a stop. Jobs that need longer are handed back.
	ShutdownGracePeriod time.Duration `env:"AIRLOCK_SHUTDOWN_GRACE" envDefault:"20s"`

	// HealthListenAddr is an address for /healthz and /readyz of the executor, host:port. Everybody who reaches it can
	// read why the executor is not ready. Default: none.
	HealthListenAddr string `env:"AIRLOCK_HEALTH_LISTEN_ADDR"`

	// StepsListenAddr is where the processes of the API ask for the steps of running jobs, host:port; "off": nowhere. The
	// connection is encrypted, and only who can read Firestore can use it. Default: a free port, on all addresses.
	StepsListenAddr string `env:"AIRLOCK_STEPS_LISTEN_ADDR" envDefault:":0"`
	// StepsAdvertiseAddr is where they reach that listener, host:port. Default: the address of this machine in its
	// network, and the listener's port.
	StepsAdvertiseAddr string `env:"AIRLOCK_STEPS_ADVERTISE_ADDR"`

	// Retention is how long finished executions with their files, finished batches and webhook deliveries, and
	// conversations after their newest message are stored. 0 stores them without end.
	Retention time.Duration `env:"AIRLOCK_RETENTION" envDefault:"720h"`

	// MaxWorkspaceMiB is how large the packed files of a job's working folder may be, so that they are stored for a later
	// job. 0: none are stored, and the turns of a conversation begin without the files of those before.
	MaxWorkspaceMiB int64 `env:"AIRLOCK_WORKSPACE_MAX_MIB" envDefault:"256"`

	// EgressPrivateNetworks are the private networks whose hosts an environment may reach, besides public addresses:
	// "10.1.0.0/16,…". Their names still have to be allowed.
	EgressPrivateNetworks []netip.Prefix `env:"AIRLOCK_EGRESS_ALLOW_PRIVATE"`
	// EgressNameServer resolves the names of environments' hosts, host:port. Default: as this machine does.
	EgressNameServer string `env:"AIRLOCK_EGRESS_NAME_SERVER"`
	// EgressMaxMiB is what one job may send to and receive from hosts of its environment, in all.
	EgressMaxMiB int64 `env:"AIRLOCK_EGRESS_MAX_MIB" envDefault:"10240"`

	// DockerHost is the Engine's address. Default: unix:///var/run/docker.sock.
	DockerHost string `env:"DOCKER_HOST"`
	// OCIRuntime is the Engine's OCI runtime: runc, or runsc (gVisor).
	OCIRuntime string `env:"AIRLOCK_SANDBOX_RUNTIME" envDefault:"runc"`
	// SocketDir is the folder of the sandboxes' egress sockets. If the executor itself runs in a container, the folder
	// must be mounted from the host under the same path.
	SocketDir string `env:"AIRLOCK_SANDBOX_SOCKET_DIR" envDefault:"/run/airlock"`
	// SandboxUIDs are the user IDs of the host that sandboxes may have, "first-last". Each live container has one of its
	// own, as user and as group. No other user of the host should be in the range.
	SandboxUIDs sandbox.UIDRange `env:"AIRLOCK_SANDBOX_UIDS" envDefault:"2100000000-2100065535"`
	// WarmPoolSize is the least number of idle containers of each available runtime; on higher demand there are up to
	// Slots. An idle container uses about 3 MB of memory and no CPU. With 0, every job starts its own container.
	WarmPoolSize int `env:"AIRLOCK_WARM_POOL_SIZE" envDefault:"1"`
	// WarmPoolMaxAge is the greatest age of an idle container. A rebuilt image is in use after this time at the latest.
	WarmPoolMaxAge time.Duration `env:"AIRLOCK_WARM_POOL_MAX_AGE" envDefault:"10m"`
	// AheadConversations is the number of conversations, at most, for whose next turn an agent is started when a turn has
	// ended, and waits. There are never more than free slots, and none while less than a tenth of the memory is available.
	// A Claude Code that waits uses 150 MB. With 0, every turn starts its agent when it comes.
	AheadConversations int `env:"AIRLOCK_AHEAD_CONVERSATIONS" envDefault:"4"`
	// AheadTime is how long such an agent waits.
	AheadTime time.Duration `env:"AIRLOCK_AHEAD_TIME" envDefault:"5m"`
	// OfflineImage and ClaudeImage are the images of these two runtimes, if RuntimesFile is not set.
	OfflineImage string `env:"AIRLOCK_OFFLINE_IMAGE" envDefault:"airlock/sandbox-offline:dev"`
	ClaudeImage  string `env:"AIRLOCK_CLAUDE_IMAGE" envDefault:"airlock/sandbox-claude:dev"`

	// AnthropicAPIKey switches the claude runtime on. Only the egress gateway uses it; no sandbox ever has it.
	AnthropicAPIKey string `env:"ANTHROPIC_API_KEY"`
	// AnthropicAPIKeyFile is a file that holds the key instead.
	AnthropicAPIKeyFile string `env:"ANTHROPIC_API_KEY_FILE"`
	// AnthropicBaseURL is the address of the Messages API.
	AnthropicBaseURL *url.URL `env:"ANTHROPIC_BASE_URL" envDefault:"https://api.anthropic.com"`
	// AnthropicCAFile is a PEM file of certificate authorities that are trusted for the Messages API, besides the
	// system's.
	AnthropicCAFile string `env:"AIRLOCK_ANTHROPIC_CA_FILE"`
	// AnthropicAllowPrivate allows that the host of AnthropicBaseURL resolves to a private address.
	AnthropicAllowPrivate bool `env:"AIRLOCK_ANTHROPIC_ALLOW_PRIVATE"`
	// ClaudeModels are the allowed models; the first is the default. Default: the models that the runtime knows.
	ClaudeModels []string `env:"AIRLOCK_CLAUDE_MODELS"`
	// MaxTokens and MaxCostUSD limit what one execution may use of a model. An agent's own budget cannot raise them.
	// Default: no limit.
	MaxTokens  int64   `env:"AIRLOCK_MAX_TOKENS"`
	MaxCostUSD float64 `env:"AIRLOCK_MAX_COST_USD"`

	// ModelMaxWait bounds how long one attempt waits for its model's provider if that is overloaded or not reached. The
	// time-out of the job does not count this time. 0: an agent has the provider's first failure at once.
	ModelMaxWait time.Duration `env:"AIRLOCK_MODEL_MAX_WAIT" envDefault:"15m"`

	// ReceiptKeyFile holds the ed25519 key that signs receipts (PKCS #8, PEM). Default: receipts are not signed.
	ReceiptKeyFile string `env:"AIRLOCK_RECEIPT_KEY_FILE"`
}

// StepsOff is the value of Executor.StepsListenAddr of an executor that serves no live steps.
const StepsOff = "off"

// LoadExecutor reads an executor's configuration from the environment and sets the defaults. Validate it before use.
func LoadExecutor() (Executor, error) {
	c, err := Parse[Executor]()
	c.SetDefaults()
	return c, err
}

func (c *Executor) readSecretFiles() (err error) {
	c.AnthropicAPIKey, err = readSecret("ANTHROPIC_API_KEY", c.AnthropicAPIKey, c.AnthropicAPIKeyFile)
	return err
}

// SetDefaults sets the defaults that depend on this machine or on other settings.
func (c *Executor) SetDefaults() {
	c.Common.setDefaults()
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

// Validate reports everything that is wrong with the configuration, except the content of the files that it names.
func (c *Executor) Validate() error {
	errs := []error{c.Common.validate()}
	if c.Slots < 1 {
		errs = append(errs, fmt.Errorf("AIRLOCK_EXECUTOR_SLOTS must be at least 1, not %d", c.Slots))
	} else if c.ReservedSlots >= c.Slots {
		errs = append(errs, fmt.Errorf("AIRLOCK_EXECUTOR_RESERVED_SLOTS must be less than the %d AIRLOCK_EXECUTOR_SLOTS, not %d",
			c.Slots, c.ReservedSlots))
	}
	errs = append(errs, c.Labels.validate(), validateNotNegative("AIRLOCK_SHUTDOWN_GRACE", c.ShutdownGracePeriod))
	if c.HealthListenAddr != "" {
		errs = append(errs, validateHostPort("AIRLOCK_HEALTH_LISTEN_ADDR", c.HealthListenAddr))
	}
	if c.StepsListenAddr != StepsOff {
		errs = append(errs, validateHostPort("AIRLOCK_STEPS_LISTEN_ADDR", c.StepsListenAddr))
	}
	if c.StepsAdvertiseAddr != "" {
		errs = append(errs, validateHostPort("AIRLOCK_STEPS_ADVERTISE_ADDR", c.StepsAdvertiseAddr))
	}
	if c.Retention != 0 && c.Retention < time.Hour {
		errs = append(errs, fmt.Errorf("AIRLOCK_RETENTION must be at least 1h, or 0 to store everything without end, not %s", c.Retention))
	}
	if c.WarmPoolSize < 0 {
		errs = append(errs, fmt.Errorf("AIRLOCK_WARM_POOL_SIZE must be at least 0, not %d", c.WarmPoolSize))
	}
	if c.AheadConversations < 0 {
		errs = append(errs, fmt.Errorf("AIRLOCK_AHEAD_CONVERSATIONS must be at least 0, not %d", c.AheadConversations))
	}
	if c.AheadTime <= 0 {
		errs = append(errs, fmt.Errorf("AIRLOCK_AHEAD_TIME must be greater than 0, not %s", c.AheadTime))
	}
	if c.WarmPoolMaxAge <= 0 {
		errs = append(errs, fmt.Errorf("AIRLOCK_WARM_POOL_MAX_AGE must be greater than 0, not %s", c.WarmPoolMaxAge))
	}
	if c.AnthropicAPIKey != "" && c.AnthropicBaseURL == nil {
		errs = append(errs, errors.New("ANTHROPIC_BASE_URL must be a URL if ANTHROPIC_API_KEY is set"))
	}
	if c.ModelMaxWait < 0 || c.ModelMaxWait > execution.MaxModelWait {
		errs = append(errs, fmt.Errorf("AIRLOCK_MODEL_MAX_WAIT must be from 0 to %s, not %s", execution.MaxModelWait, c.ModelMaxWait))
	}
	if c.MaxTokens < 0 {
		errs = append(errs, errors.New("AIRLOCK_MAX_TOKENS cannot be negative"))
	}
	return errors.Join(append(errs, checkUSD("AIRLOCK_MAX_COST_USD", c.MaxCostUSD))...)
}
