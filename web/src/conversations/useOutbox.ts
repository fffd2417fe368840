import { notifyManager, useQueryClient } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { api, idempotencyKey, unwrap } from '../api/client.ts'
import { keys } from '../api/keys.ts'
import type { ConversationDetail } from '../api/types.ts'
import { navigate } from '../route/route.ts'
import { withAccepted } from './turns.ts'

/** A message on its way to the server, or one that did not arrive. */
export interface Outgoing {
  /** Also the idempotency key: sending again cannot ask twice. */
  key: string
  text: string
  /** The execution of the turn that it repeats, if it does. */
  retryOf?: string | undefined
  error?: Error
}

interface Place {
  /** Undefined where a conversation begins. */
  conversationId?: string | undefined
  agentId?: string | undefined
}

/** Sends messages, shows them from the first moment, and keeps those that failed. */
export function useOutbox({ conversationId, agentId }: Place) {
  const client = useQueryClient()
  const [entries, setEntries] = useState<Outgoing[]>([])
  const here = useRef(true)
  useEffect(() => {
    here.current = true
    return () => {
      here.current = false
    }
  }, [])

  function accept({ key, text, retryOf }: Outgoing) {
    const headers = { 'Idempotency-Key': key }
    if (retryOf !== undefined) {
      return unwrap(api.POST('/executions/{id}/retry', { params: { path: { id: retryOf } }, headers }))
    }
    const place = {
      ...(conversationId !== undefined && { conversationId }),
      ...(agentId !== undefined && { agentId }),
    }
    return unwrap(api.POST('/api/conversation', { body: { message: text, ...place }, headers }))
  }

  async function post(entry: Outgoing) {
    const accepted = await accept(entry)
    const { key, text } = entry
    const id = accepted.conversationId ?? conversationId
    if (id === undefined) {
      throw new Error('The server accepted the message without saying which conversation it began.')
    }
    await client.cancelQueries({ queryKey: keys.conversation(id) })
    // In one batch, so that the message is at no moment shown twice or not at all.
    notifyManager.batch(() => {
      client.setQueryData<ConversationDetail>(keys.conversation(id), (detail) =>
        withAccepted(detail, accepted, { text, agentId }, new Date().toISOString()),
      )
      if (conversationId !== undefined) {
        notifyManager.schedule(() => discard(key))
      }
    })
    void client.invalidateQueries({ queryKey: keys.conversation(id) })
    void client.invalidateQueries({ queryKey: keys.conversations })
    void client.invalidateQueries({ queryKey: keys.executions })
    if (conversationId === undefined && here.current) {
      navigate({ page: 'conversation', id }) // which ends this page, and its outbox with it
    }
  }

  function dispatch(entry: Outgoing) {
    setEntries((all) => [...all.filter(({ key }) => key !== entry.key), entry])
    post(entry).catch((reason: unknown) => {
      const error = reason instanceof Error ? reason : new Error(String(reason))
      setEntries((all) => all.map((one) => (one.key === entry.key ? { ...one, error } : one)))
    })
  }

  function discard(key: string) {
    setEntries((all) => all.filter((one) => one.key !== key))
  }

  return {
    entries,
    busy: entries.some(({ error }) => error === undefined),
    send: (text: string) => dispatch({ key: idempotencyKey(), text }),
    sendAgain: ({ key, text, retryOf }: Outgoing) => dispatch({ key, text, retryOf }),
    /** Has a turn that did not succeed run again, as the newest: with its own message, which may be shown shortened. */
    repeat: (executionId: string, text: string) =>
      dispatch({ key: idempotencyKey(), text, retryOf: executionId }),
    discard,
  }
}
