import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { api, done, unwrap } from '../api/client.ts'
import { keys } from '../api/keys.ts'
import type { Agent, AgentChange, AgentDraft, NewAgent } from '../api/types.ts'

export function useAgents() {
  return useQuery({
    queryKey: keys.agents,
    queryFn: () => unwrap(api.GET('/agents', { params: { query: { limit: 100 } } })),
    select: (list) => list.agents,
  })
}

export function useAgent(id: string | undefined) {
  return useQuery({
    queryKey: keys.agent(id ?? ''),
    queryFn: () => unwrap(api.GET('/agents/{id}', { params: { path: { id: id ?? '' } } })),
    enabled: id !== undefined,
  })
}

export function useCreateAgent() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (agent: NewAgent) => unwrap(api.POST('/agents', { body: agent })),
    onSuccess: (agent) => {
      client.setQueryData(keys.agent(agent.id), agent)
      return client.invalidateQueries({ queryKey: keys.agents })
    },
  })
}

export function useUpdateAgent(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (change: AgentChange) =>
      unwrap(api.PATCH('/agents/{id}', { params: { path: { id } }, body: change })),
    onSuccess: (agent) => {
      client.setQueryData(keys.agent(id), agent)
      return client.invalidateQueries({ queryKey: keys.agents })
    },
  })
}

export function useDeleteAgent(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () => done(api.DELETE('/agents/{id}', { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.agents }),
  })
}

/** Starts a run; repeating a start that got no answer does not run twice. */
export function useRunAgent(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (run: { input: string; key: string }) =>
      unwrap(
        api.POST('/agents/{id}/run', {
          params: { path: { id } },
          body: { input: run.input },
          headers: { 'Idempotency-Key': run.key },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: keys.executions }),
  })
}

/** The agent that was made of a draft, if one was: a draft carries no ID, its content tells. */
export function agentOf(draft: AgentDraft, agents: Agent[]): Agent | undefined {
  return agents.find(
    (agent) =>
      agent.name.trim() === draft.name.trim() && agent.instructions.trim() === draft.instructions.trim(),
  )
}
