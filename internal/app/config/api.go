package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// API is the configuration of the API.
type API struct {
	Common
	// ListenAddr is the address of the API and the page, host:port.
	ListenAddr string `env:"AIRLOCK_LISTEN_ADDR" envDefault:"127.0.0.1:8000"`
	Auth
	RequestLimits
	FileLimits
	// DefaultRuntime runs the agents that name no runtime, and the conversations that build agents. Default: the first
	// of the runtimes; with airlock dev claude, if ANTHROPIC_API_KEY is set and AIRLOCK_RUNTIMES_FILE is not.
	DefaultRuntime string `env:"AIRLOCK_DEFAULT_RUNTIME"`
	// QueueTimeout is how long an execution may stay queued unless its request names another time; 1s to 168h.
	QueueTimeout time.Duration `env:"AIRLOCK_QUEUE_TIMEOUT" envDefault:"24h"`
	// CORSAllowedOrigins are the origins of other pages that may call the API (CORS).
	CORSAllowedOrigins []string `env:"AIRLOCK_CORS_ORIGINS" envDefault:"http://localhost:3000"`
	// ShutdownGracePeriod is the time that requests have to finish after a stop.
	ShutdownGracePeriod time.Duration `env:"AIRLOCK_SHUTDOWN_GRACE" envDefault:"5s"`
	// ShutdownDrainPeriod is how long the API goes on before that, while /readyz returns 503: the time that a load
	// balancer needs to notice.
	ShutdownDrainPeriod time.Duration `env:"AIRLOCK_SHUTDOWN_DRAIN"`
}

// LoadAPI reads the API's configuration from the environment and sets the defaults. Validate it before use.
func LoadAPI() (API, error) {
	c, err := Parse[API]()
	c.SetDefaults()
	// Cloud Run tells the port in PORT.
	port := os.Getenv("PORT")
	if port == "" || os.Getenv("AIRLOCK_LISTEN_ADDR") != "" {
		return c, err
	}
	if _, portErr := strconv.ParseUint(port, 10, 16); portErr != nil {
		return c, errors.Join(err, fmt.Errorf("PORT must be a number up to 65535, not %q", port))
	}
	c.ListenAddr = net.JoinHostPort("0.0.0.0", port)
	return c, err
}

// SetDefaults sets the defaults that depend on other settings.
func (c *API) SetDefaults() { c.Common.setDefaults() }

// Validate reports everything that is wrong with the configuration, except the content of the files that it names.
func (c *API) Validate() error {
	errs := []error{c.Common.validate()}
	errs = append(errs, validateHostPort("AIRLOCK_LISTEN_ADDR", c.ListenAddr), c.validateAuth(), c.RequestLimits.validate(), c.FileLimits.validate())
	if c.QueueTimeout < execution.MinQueueTimeout || c.QueueTimeout > execution.MaxQueueTimeout {
		errs = append(errs, fmt.Errorf("AIRLOCK_QUEUE_TIMEOUT must be from %s to %s, not %s",
			execution.MinQueueTimeout, execution.MaxQueueTimeout, c.QueueTimeout))
	}
	return errors.Join(append(errs,
		validateNotNegative("AIRLOCK_SHUTDOWN_GRACE", c.ShutdownGracePeriod),
		validateNotNegative("AIRLOCK_SHUTDOWN_DRAIN", c.ShutdownDrainPeriod))...)
}
