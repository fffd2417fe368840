package agentruntime

import (
	"fmt"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// proxyVariables tell programs of the proxy through which they reach the allowed hosts. Not all read the same ones.
var proxyVariables = func() []string {
	var list []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		list = append(list, name+"="+sandbox.EgressURL, strings.ToLower(name)+"="+sandbox.EgressURL)
	}
	const local = "localhost,127.0.0.0/8,127.0.0.1,::1"
	return append(list, "NO_PROXY="+local, "no_proxy="+local)
}()

// addEnvironment gives the job the variables and the network of its environment. Of two variables with one name, that
// of the agent or the runtime holds, and not that of the environment.
func (r *Run) addEnvironment(t *execution.Task) {
	job := &r.Job
	job.Env = append(environmentVariables(t.Variables), job.Env...)
	rules := t.Network.Rules()
	if rules.Empty() {
		return
	}
	job.Env = append(job.Env, proxyVariables...)
	job.Network = &sandbox.Network{Ports: rules.Ports(), Notice: networkNotice(rules)}
}

// Network returns what the job has done in the network so far; nil: it has none.
func (r *Run) Network() *execution.NetworkUse {
	if r.door == nil {
		return nil
	}
	used := r.door.Usage()
	n := &execution.NetworkUse{Refused: used.Refused}
	for _, h := range used.Hosts {
		n.Hosts = append(n.Hosts, execution.HostUse(h))
	}
	return n
}

// networkNotice tells an agent which hosts it can reach.
func networkNotice(rules environment.Rules) string {
	var b strings.Builder
	b.WriteString("This sandbox can reach these hosts, and no others:\n\n")
	for _, p := range rules.Patterns() {
		fmt.Fprintf(&b, "    %s\n", p)
	}
	b.WriteString("\nWithout a port, 443 and 80 are meant. Names of other hosts do not exist here, and the proxy (" + sandbox.EgressURL +
		", in HTTPS_PROXY)\nanswers 403 for them and says why. UDP and addresses in place of names do not work.\nWho made the environment can allow " +
		"more hosts: airlock environments update.\n")
	return b.String()
}
