package sandbox

import "time"

// Record describes the container of a job, as facts for a receipt. No value in it comes from the agent.
type Record struct {
	Container string   `json:"container,omitempty"` // its name on the Engine
	Warm      bool     `json:"warm"`                // the container was started before the job arrived
	Ahead     bool     `json:"ahead,omitempty"`     // its agent, too
	Limits    Limits   `json:"limits"`              // as applied, with defaults
	Settings  Settings `json:"settings"`
	Times     Times    `json:"times"`
}

// Settings are the settings of a container as the Engine reports them for the running container. They show what the
// Engine applied, which may differ from what the driver asked for. A comment with a plain value gives the expected one.
type Settings struct {
	Image           string            `json:"image"`                 // the reference that the container was created from
	ImageID         string            `json:"imageId"`               // content address of the image's configuration
	ImageDigest     string            `json:"imageDigest,omitempty"` // in a registry; only for a pulled image
	Runtime         string            `json:"runtime"`               // the Engine's name of the OCI runtime
	Engine          string            `json:"engine"`                // the Engine's version
	User            string            `json:"user"`                  // "uid:gid", of this container only
	CapDrop         []string          `json:"capDrop"`               // "ALL"
	CapAdd          []string          `json:"capAdd,omitempty"`      // none
	Privileged      bool              `json:"privileged"`            // false
	NoNewPrivs      bool              `json:"noNewPrivileges"`       // true
	Seccomp         string            `json:"seccomp"`               // "sha256:..." of the profile
	AppArmor        string            `json:"appArmor,omitempty"`    // profile; empty if the host has no AppArmor
	ReadOnlyRoot    bool              `json:"readOnlyRoot"`          // true
	Tmpfs           map[string]string `json:"tmpfs"`                 // mount options by path
	Mounts          []Mount           `json:"mounts"`                // all read-only: the egress folder and files of /etc
	Network         string            `json:"network"`               // "none"
	NetworkDisabled bool              `json:"networkDisabled"`       // true: the Engine sets up no network at all
	IPC             string            `json:"ipc"`                   // "private"
	Cgroup          string            `json:"cgroup"`                // namespace mode
	PID             string            `json:"pid,omitempty"`         // namespace mode; empty means a private namespace
	UTS             string            `json:"uts,omitempty"`         // the same
	UserNS          string            `json:"userns,omitempty"`      // namespace mode; empty means the Engine's default
	Memory          int64             `json:"memory"`                // bytes
	MemorySwap      int64             `json:"memorySwap"`            // bytes of memory and swap together; -1: unlimited
	NanoCPUs        int64             `json:"nanoCpus"`              // billionths of a CPU
	PIDs            int64             `json:"pids"`                  // processes; 0: unlimited
	ShmSize         int64             `json:"shmSize"`               // bytes
	OOMScoreAdj     int               `json:"oomScoreAdj"`           // of init
	OOMKillDisabled bool              `json:"oomKillDisabled"`       // false
	Ulimits         map[string]int64  `json:"ulimits"`               // hard limits by name
	LogDriver       string            `json:"logDriver"`             // "none"
	Restart         string            `json:"restart,omitempty"`     // "no"
	AutoRemove      bool              `json:"autoRemove"`            // false: the driver removes it
	Devices         int               `json:"devices"`               // number of host devices; 0
}

// Mount is a directory of the host in a container.
type Mount struct {
	Target   string `json:"target"`
	ReadOnly bool   `json:"readOnly"`
}

// Times are the events in the life of one container, by the executor's clock. An event that did not happen is zero. So
// is an event after Run returned: a result does not wait for the removal of its container.
type Times struct {
	Created      time.Time `json:"created,omitzero"`      // the Engine created the container
	Started      time.Time `json:"started,omitzero"`      // the Engine started it; init waits for the job
	Dispatched   time.Time `json:"dispatched,omitzero"`   // the driver began to send the job
	AgentStarted time.Time `json:"agentStarted,omitzero"` // init reported the agent's start
	FirstOutput  time.Time `json:"firstOutput,omitzero"`  // init reported the agent's first output
	Result       time.Time `json:"result,omitzero"`       // init sent its last report
	Removed      time.Time `json:"removed,omitzero"`      // the Engine removed the container; set only for a stopped job
}
