import { useQuery } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'
import { useSession } from './session.ts'

/** Makes a caller the operator on a server without authentication. Any other server ignores it. */
export const asOperator = { 'X-Operator': 'true' }

/** Reports whether the credentials of this page are the operator's, who is not a tenant. */
export function useIsOperator(): boolean {
  const caller = useQuery({
    queryKey: queryKeys.caller,
    queryFn: () => unwrap(api.GET('/me')),
    staleTime: Infinity,
  })
  return caller.data?.scopes.includes('operator') ?? false
}

/** Reports whether this page may also be the operator's: on a server without authentication. */
export function useMayBeOperator(): boolean {
  const session = useSession()
  const caller = useQuery({
    queryKey: queryKeys.callerAsOperator,
    queryFn: () => unwrap(api.GET('/me', { headers: asOperator })),
    staleTime: Infinity,
    enabled: session.key === undefined,
  })
  return caller.data?.scopes.includes('operator') ?? false
}
