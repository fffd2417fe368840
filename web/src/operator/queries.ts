import { replaceEqualDeep, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import type { TenantList } from '../api/types.ts'
import { queryKeys } from '../api/queryKeys.ts'
import { asOperator } from '../session/useCaller.ts'

// How often the operator's view is read again, while the tab is visible.
const refetchInterval = 5_000
// The list of tenants costs most. While it stays as it is, it is read less often.
const unchangedRefetchInterval = 15_000

export function useStatus() {
  return useQuery({
    queryKey: queryKeys.status,
    queryFn: () => unwrap(api.GET('/status', { headers: asOperator })),
    refetchInterval,
  })
}

export function useExecutors() {
  return useQuery({
    queryKey: queryKeys.executors,
    queryFn: () => unwrap(api.GET('/executors', { params: { query: { limit: 100 } }, headers: asOperator })),
    refetchInterval,
  })
}

export function useTenants(waiting: boolean) {
  const client = useQueryClient()
  const queryKey = [...queryKeys.tenants, waiting]
  return useQuery({
    queryKey,
    queryFn: async () => {
      const query = { limit: 50, ...(waiting && { waiting }) }
      const list = await unwrap(api.GET('/tenants', { params: { query }, headers: asOperator }))
      const before = client.getQueryData<{ list: TenantList }>(queryKey)?.list
      return { list, changed: replaceEqualDeep(before, list) !== before }
    },
    select: ({ list }) => list,
    refetchInterval: ({ state: { data } }) =>
      data?.changed === false ? unchangedRefetchInterval : refetchInterval,
  })
}

/** Drains or resumes an executor. */
export function useDrain(name: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (drain: boolean) => {
      const options = { params: { path: { name } }, headers: asOperator }
      return unwrap(
        drain ? api.POST('/executors/{name}/drain', options) : api.POST('/executors/{name}/resume', options),
      )
    },
    onSuccess: () => client.invalidateQueries({ queryKey: queryKeys.executors }),
  })
}

/** Pauses or resumes a tenant. */
export function usePause(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (paused: boolean) =>
      unwrap(api.PATCH('/tenants/{id}', { params: { path: { id } }, body: { paused }, headers: asOperator })),
    onSuccess: () => client.invalidateQueries({ queryKey: queryKeys.tenants }),
  })
}
