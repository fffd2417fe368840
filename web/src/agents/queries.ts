import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { api, unwrap, unwrapEmpty } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'
import type { AttachedFile } from '../attachments/useAttachments.ts'
import type { Agent, AgentChange, AgentDraft, NewAgent } from '../api/types.ts'

export function useAgents() {
  return useQuery({
    queryKey: queryKeys.agents,
    queryFn: () => unwrap(api.GET('/agents', { params: { query: { limit: 100 } } })),
    select: (list) => list.agents,
  })
}

export function useAgent(id: string | undefined) {
  return useQuery({
    queryKey: queryKeys.agent(id ?? ''),
    queryFn: () => unwrap(api.GET('/agents/{id}', { params: { path: { id: id ?? '' } } })),
    enabled: id !== undefined,
  })
}

/** Reads the versions of an agent, the newest first. They are read again when there is a newer one. */
export function useAgentVersions(id: string, newest: number) {
  return useInfiniteQuery({
    queryKey: queryKeys.agentVersions(id, newest),
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET('/agents/{id}/versions', {
          params: { path: { id }, query: pageParam === '' ? {} : { cursor: pageParam } },
        }),
      ),
    initialPageParam: '',
    getNextPageParam: (page) => page.nextCursor,
  })
}

/** Reads an agent as it was in a version. A version never changes. */
export function useAgentVersion(id: string, version: number) {
  return useQuery({
    queryKey: queryKeys.agentVersion(id, version),
    queryFn: () =>
      unwrap(
        api.GET('/agents/{id}/versions/{version}', { params: { path: { id, version: version.toString() } } }),
      ),
    staleTime: Infinity,
  })
}

export function useCreateAgent() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (agent: NewAgent) => unwrap(api.POST('/agents', { body: agent })),
    onSuccess: (agent) => {
      client.setQueryData(queryKeys.agent(agent.id), agent)
      return client.invalidateQueries({ queryKey: queryKeys.agents })
    },
  })
}

export function useUpdateAgent(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (change: AgentChange) =>
      unwrap(api.PATCH('/agents/{id}', { params: { path: { id } }, body: change })),
    onSuccess: (agent) => {
      client.setQueryData(queryKeys.agent(id), agent)
      return client.invalidateQueries({ queryKey: queryKeys.agents })
    },
  })
}

export function useDeleteAgent(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () => unwrapEmpty(api.DELETE('/agents/{id}', { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: queryKeys.agents }),
  })
}

/** Starts a run. With the same key, a repeated start without a response does not run twice. */
export function useRunAgent(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (run: { input: string; files: AttachedFile[]; environmentId: string; key: string }) =>
      unwrap(
        api.POST('/agents/{id}/run', {
          params: { path: { id } },
          body: {
            input: run.input,
            files: run.files.map(({ path, fileId }) => ({ path, fileId })),
            ...(run.environmentId && { environmentId: run.environmentId }),
          },
          headers: { 'Idempotency-Key': run.key },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: queryKeys.executions }),
  })
}

/** Finds the agent that was created from a draft. Compares their contents, because a draft has no ID. */
export function findCreatedAgent(draft: AgentDraft, agents: Agent[]): Agent | undefined {
  return agents.find(
    (agent) =>
      agent.name.trim() === draft.name.trim() && agent.instructions.trim() === draft.instructions.trim(),
  )
}
