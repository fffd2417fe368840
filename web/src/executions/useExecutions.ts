import { useQuery } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { keys } from '../api/keys.ts'
import { hasEnded } from './status.ts'

/** How many of the newest executions are listed: the most that the server gives. */
export const listed = 100

// How often a list is read again that holds executions which have not ended.
const openRefetchMs = 5_000

export function useExecutions() {
  return useQuery({
    queryKey: keys.executions,
    queryFn: () => unwrap(api.GET('/executions', { params: { query: { limit: listed } } })),
    refetchInterval: ({ state }) =>
      state.data?.executions.some(({ status }) => !hasEnded(status)) ? openRefetchMs : false,
    select: (list) => list.executions,
  })
}
