import { useQuery } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'
import { useRefetchInterval } from '../session/FollowChanges.tsx'
import { isFinished } from './status.ts'

/** The number of executions in a list: the server's maximum. */
export const maxListed = 100

// How often a list with unfinished executions is read again.
const refetchMs = 5_000

export function useExecutions() {
  const interval = useRefetchInterval(refetchMs)
  return useQuery({
    queryKey: queryKeys.executions,
    queryFn: () => unwrap(api.GET('/executions', { params: { query: { limit: maxListed } } })),
    refetchInterval: ({ state }) =>
      state.data?.executions.some(({ status }) => !isFinished(status)) ? interval : false,
    select: (list) => list.executions,
  })
}
