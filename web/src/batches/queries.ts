import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { api, idempotencyKey, unwrap } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'
import type { Batch } from '../api/types.ts'
import { useRefetchInterval } from '../session/FollowChanges.tsx'

// How often the progress of an unfinished batch is read again. Its end comes shortly after that of its last execution,
// and is not among the changes of which the server tells.
const refetchMs = 2_000
const slowRefetchMs = 5_000

export function useBatches() {
  return useQuery({
    queryKey: queryKeys.batches,
    queryFn: () => unwrap(api.GET('/batches', { params: { query: { limit: 100 } } })),
    refetchInterval: ({ state }) =>
      state.data?.batches.some(({ status }) => status !== 'finished') ? slowRefetchMs : false,
    select: (list) => list.batches,
  })
}

export function useBatch(id: string) {
  const interval = useRefetchInterval(refetchMs, slowRefetchMs)
  return useQuery({
    queryKey: queryKeys.batch(id),
    queryFn: () => unwrap(api.GET('/batches/{id}', { params: { path: { id } } })),
    refetchInterval: ({ state }) => (state.data && state.data.status !== 'finished' ? interval : false),
  })
}

export function useCancelBatch(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () => unwrap(api.POST('/batches/{id}/cancel', { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: queryKeys.batch(id) }),
  })
}

/** Retries the failed inputs as a new batch. */
export function useRetryBatch(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () =>
      unwrap(
        api.POST('/batches/{id}/retry', {
          params: { path: { id } },
          headers: { 'Idempotency-Key': idempotencyKey() },
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: queryKeys.batches }),
  })
}

/** Downloads the results of a batch so far, as JSON Lines. */
export function downloadResults(id: string): Promise<Blob> {
  return unwrap(api.GET('/batches/{id}/results', { params: { path: { id } }, parseAs: 'blob' }))
}

export const batchLabel: Record<Batch['status'], string> = {
  running: 'Running',
  canceling: 'Canceling',
  finished: 'Finished',
}
