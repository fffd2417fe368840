import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { api, unwrap, unwrapEmpty } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'
import type { EnvironmentChange, NewEnvironment } from '../api/types.ts'

export function useEnvironments() {
  return useQuery({
    queryKey: queryKeys.environments,
    queryFn: () => unwrap(api.GET('/environments', { params: { query: { limit: 100 } } })),
    select: (list) => list.environments,
  })
}

export function useEnvironment(id: string) {
  return useQuery({
    queryKey: queryKeys.environment(id),
    queryFn: () => unwrap(api.GET('/environments/{id}', { params: { path: { id } } })),
  })
}

/** Reads the versions of an environment, the newest first. They are read again when there is a newer one. */
export function useEnvironmentVersions(id: string, newest: number) {
  return useInfiniteQuery({
    queryKey: queryKeys.environmentVersions(id, newest),
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET('/environments/{id}/versions', {
          params: { path: { id }, query: pageParam === '' ? {} : { cursor: pageParam } },
        }),
      ),
    initialPageParam: '',
    getNextPageParam: (page) => page.nextCursor,
  })
}

export function useCreateEnvironment() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (environment: NewEnvironment) => unwrap(api.POST('/environments', { body: environment })),
    onSuccess: (environment) => {
      client.setQueryData(queryKeys.environment(environment.id), environment)
      return client.invalidateQueries({ queryKey: queryKeys.environments })
    },
  })
}

export function useUpdateEnvironment(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (change: EnvironmentChange) =>
      unwrap(api.PATCH('/environments/{id}', { params: { path: { id } }, body: change })),
    onSuccess: (environment) => {
      client.setQueryData(queryKeys.environment(id), environment)
      return client.invalidateQueries({ queryKey: queryKeys.environments })
    },
  })
}

export function useDeleteEnvironment(id: string) {
  const client = useQueryClient()
  return useMutation({
    mutationFn: () => unwrapEmpty(api.DELETE('/environments/{id}', { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: queryKeys.environments }),
  })
}
