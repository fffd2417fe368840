import type {
  Agent,
  AttemptList,
  Batch,
  Conversation,
  Environment,
  Execution,
  Executor,
  Failure,
  InstallationStatus,
  Message,
  Result,
  TenantState,
  UploadedFile,
  UsageReport,
} from '../src/api/types.ts'
import { isFinished } from '../src/executions/status.ts'
import { EventStreams } from './eventStreams.ts'
import { json, jsonOrNotFound, notFound, problem, textOrNotFound } from './responses.ts'
import { Transcripts } from './transcripts.ts'

export type Outcome = { result: Result } | { status: 'failed' | 'timed_out' | 'canceled'; error: Failure }

export type OnAccept = (execution: Execution, standIn: StandIn) => void

interface SentRun {
  input: string
  files?: { path: string; fileId?: string }[] | undefined
  environmentId?: string
}

interface SentMessage {
  message: string
  files?: SentRun['files']
  conversationId?: string
  agentId?: string
  retryOf?: string
}

/**
 * A server of the API in memory, for development and tests. It runs nothing by itself: a test or a scenario starts and
 * finishes the executions. Its data ends with the process.
 */
export class StandIn {
  readonly agents = new Map<string, Agent>()
  /** The versions of each agent, from the first on. */
  readonly agentVersions = new Map<string, Agent[]>()
  readonly environments = new Map<string, Environment>()
  /** The versions of each environment, from the first on. */
  readonly environmentVersions = new Map<string, Environment[]>()
  readonly conversations = new Map<string, Conversation>()
  readonly messages = new Map<string, Message[]>()
  readonly files = new Map<string, UploadedFile>()
  readonly executions = new Map<string, Execution>()
  readonly batches = new Map<string, Batch>()
  /** The attempts of executions that have some, by ID. */
  readonly attempts = new Map<string, AttemptList>()
  /** The reports by what they are grouped by. */
  readonly usage = new Map<string, UsageReport>()
  /** Contents of results and files, by the path of their URL. */
  readonly contents = new Map<string, string>()
  readonly events = new EventStreams()
  readonly transcripts = new Transcripts()
  /** What the operator sees; undefined: nobody is the operator. */
  operator: { status: InstallationStatus; executors: Executor[]; tenants: TenantState[] } | undefined
  /** Called with each accepted execution. May start and finish it. */
  onAccept: OnAccept = () => undefined
  private waiters = new Map<string, (() => void)[]>()
  private count = 0

  async handle(request: Request): Promise<Response> {
    const url = new URL(request.url)
    const [area = '', ...rest] = url.pathname.slice(1).split('/')
    const path = area === 'api' ? rest : [area, ...rest]
    const [resource, id = '', action = ''] = path
    const body: unknown =
      ['POST', 'PATCH'].includes(request.method) && resource !== 'files'
        ? await request.json().catch(() => ({}))
        : {}
    switch (`${request.method} ${resource}${id ? '/id' : ''}${action && `/${action}`}`) {
      case 'GET me':
        return json(
          this.operator && request.headers.get('X-Operator') === 'true'
            ? { scopes: ['operator'] }
            : { tenant: 'local', scopes: ['read', 'run', 'agents', 'keys'] },
        )
      case 'GET status':
        return jsonOrNotFound(this.operator?.status)
      case 'GET executors':
        return json({ executors: this.operator?.executors ?? [] })
      case 'POST executors/id/drain':
      case 'POST executors/id/resume':
        return this.drain(decodeURIComponent(id), action === 'drain')
      case 'GET tenants':
        return json({ tenants: this.operator?.tenants ?? [] })
      case 'PATCH tenants/id':
        return this.updateTenant(id, body as Partial<TenantState['settings']>)
      case 'POST files':
        return this.storeFile(url.searchParams.get('name') ?? '', await request.blob())
      case 'DELETE files/id':
        return this.files.delete(id) ? new Response(null, { status: 204 }) : notFound()
      case 'GET conversations':
        return json({ conversations: newestFirst(this.conversations) })
      case 'POST conversation':
        return this.send(body as SentMessage)
      case 'GET conversation/id':
        return this.conversation(id)
      case 'GET agents':
        return json({ agents: newestFirst(this.agents) })
      case 'POST agents':
        return this.createAgent(body as Agent)
      case 'PATCH agents/id':
        return this.updateAgent(id, body as Partial<Agent>)
      case 'DELETE agents/id':
        return this.agents.delete(id) ? new Response(null, { status: 204 }) : notFound()
      case 'GET agents/id':
        return jsonOrNotFound(this.agents.get(id))
      case 'GET agents/id/versions':
        return this.versions(id, path[3])
      case 'POST agents/id/run':
        return this.agents.has(id)
          ? this.accept({
              ...{ kind: 'run', agentId: id },
              ...this.inputOf(body as SentRun),
              ...this.environmentOf((body as SentRun).environmentId ?? this.agents.get(id)?.environmentId),
            })
          : notFound()
      case 'GET environments':
        return json({ environments: newestFirst(this.environments) })
      case 'POST environments':
        return json(this.createEnvironment(body as Environment), 201)
      case 'GET environments/id':
        return jsonOrNotFound(this.environments.get(id))
      case 'PATCH environments/id':
        return this.updateEnvironment(id, body as Partial<Environment>)
      case 'DELETE environments/id':
        return this.environments.delete(id) ? new Response(null, { status: 204 }) : notFound()
      case 'GET environments/id/versions':
        return json({ versions: this.versionsOfEnvironment(id) })
      case 'GET events':
      case 'GET executions/id/events':
        return this.events.open(url.pathname)
      case 'GET executions':
        return json({ executions: newestFirst(this.executions) })
      case 'GET executions/id':
        return this.execution(id, Number.parseInt(url.searchParams.get('wait') ?? '0'), request.signal)
      case 'GET executions/id/attempts':
        return this.executions.has(id)
          ? json(this.attempts.get(id) ?? { attempts: [], omitted: 0 })
          : notFound()
      case 'GET executions/id/transcript':
        return this.transcript(id, request)
      case 'GET executions/id/workspace':
      case 'GET executions/id/files':
      case 'GET executions/id/result':
        return textOrNotFound(this.contents.get(decodeURIComponent(url.pathname)))
      case 'POST executions/id/retry':
        return this.retry(id)
      case 'GET usage':
        return jsonOrNotFound(this.usage.get(url.searchParams.get('groupBy') ?? 'day'))
      case 'GET batches':
        return json({ batches: newestFirst(this.batches) })
      case 'GET batches/id':
        return jsonOrNotFound(this.batches.get(id))
      case 'GET batches/id/results':
        return textOrNotFound(this.contents.get(url.pathname))
      case 'POST batches/id/cancel':
        return this.changeBatch(id, { status: 'canceling' })
      case 'POST batches/id/retry':
        return this.retryBatch(id)
      case 'POST executions/id/cancel':
        return this.cancel(id)
      default:
        return notFound()
    }
  }

  start(id: string, attempt = 1): void {
    this.change(id, { status: 'running', attempt, startedAt: now() })
  }

  /** Tells those who follow a running execution what its agent says (output, partial) or does (progress). */
  step(id: string, number: number, kind: 'output' | 'progress' | 'partial', text: string): void {
    this.events.send(`/executions/${id}/events`, kind, { attempt: 1, number, text })
  }

  finish(id: string, outcome: Outcome): void {
    const execution = this.executions.get(id)
    if (!execution || isFinished(execution.status)) {
      return
    }
    if (execution.conversationId !== undefined) {
      this.reply(execution, outcome)
    }
    this.change(id, { status: 'succeeded', finishedAt: now(), ...outcome })
    for (const notify of this.waiters.get(id) ?? []) {
      notify()
    }
    this.waiters.delete(id)
    this.events.end(`/executions/${id}/events`)
    this.transcripts.end(id)
  }

  private storeFile(name: string, { size, type }: Blob): Response {
    const file: UploadedFile = {
      ...{ id: this.newID('file'), name, size, sha256: '00', contentType: type, createdAt: now() },
    }
    this.files.set(file.id, file)
    return json(file, 201)
  }

  /** The input and the input files of an execution. */
  private inputOf({ input, files }: SentRun): Pick<Execution, 'input' | 'inputFiles'> {
    const inputFiles = files?.map(({ path, fileId = '' }) => ({
      ...{ path, fileId, size: this.files.get(fileId)?.size ?? 0, sha256: '00' },
    }))
    return { input, ...(inputFiles && { inputFiles }) }
  }

  private environmentOf(id: string | undefined): Pick<Execution, 'environment'> {
    const version = this.environments.get(id ?? '')?.version
    return id !== undefined && version !== undefined ? { environment: { id, version } } : {}
  }

  private send(request: SentMessage): Response {
    const id = request.conversationId ?? this.newID('con')
    const existing = this.conversations.get(id)
    if (request.conversationId !== undefined && !existing) {
      return notFound()
    }
    const conversation = existing ?? {
      id,
      title: request.message.slice(0, 60),
      turns: 0,
      createdAt: now(),
      updatedAt: now(),
      ...(request.agentId !== undefined && { agentId: request.agentId }),
    }
    const turn = conversation.turns + 1
    this.conversations.delete(id) // the newest is the last entry of the map
    this.conversations.set(id, { ...conversation, turns: turn, updatedAt: now() })
    const { retryOf } = request
    const { inputFiles, input } = this.inputOf({ input: request.message, files: request.files })
    const files = inputFiles && { inputFiles }
    const turnFields = { kind: 'conversation' as const, input, conversationId: id, ...files }
    return this.accept({ ...turnFields, ...(retryOf !== undefined && { retryOf }) }, (executionId) => {
      const message: Message = {
        ...{ turn, role: 'user', text: request.message, executionId, createdAt: now() },
        ...(inputFiles && { files: inputFiles }),
      }
      this.messages.set(id, [...(this.messages.get(id) ?? []), message])
    })
  }

  private accept(
    fields: Pick<
      Execution,
      'kind' | 'input' | 'inputFiles' | 'agentId' | 'environment' | 'conversationId' | 'retryOf'
    >,
    beforeAccept?: (id: string) => void,
  ): Response {
    const id = this.newID('exe')
    const urls = urlsOf(id)
    const usage = { inputTokens: 0, outputTokens: 0, costUsd: 0, calls: 0 }
    const execution: Execution = {
      ...{
        id,
        status: 'queued',
        runtime: 'claude',
        timeout: '2m0s',
        attempt: 0,
        usage,
        createdAt: now(),
        startDeadline: now(),
        urls,
      },
      ...fields,
    }
    beforeAccept?.(id)
    this.executions.set(id, execution)
    this.tellChange(execution)
    this.onAccept(execution, this)
    const { conversationId } = fields
    return json({ executionId: id, status: 'queued', urls, ...(conversationId && { conversationId }) }, 202)
  }

  private conversation(id: string): Response {
    const conversation = this.conversations.get(id)
    const pending = [...this.executions.values()]
      .filter((e) => e.conversationId === id && !isFinished(e.status))
      .map((e) => e.id)
    return conversation ? json({ conversation, messages: this.messages.get(id) ?? [], pending }) : notFound()
  }

  private createAgent(draft: Agent): Response {
    const id = this.newID('agt')
    const agent = {
      ...{ runtime: 'claude', timeout: '2m0s' },
      ...draft,
      id,
      version: 1,
      conversations: draft.runtime !== 'upper',
      createdAt: now(),
      updatedAt: now(),
    }
    return json(this.storeVersion(agent), 201)
  }

  private updateAgent(id: string, { version, ...change }: Partial<Agent>): Response {
    const agent = this.agents.get(id)
    if (agent && version !== undefined && version !== agent.version) {
      const detail = `The agent has version ${agent.version}; this change is based on version ${version}.`
      return problem({ status: 409, title: 'Conflict', code: 'version_conflict', detail })
    }
    return jsonOrNotFound(
      agent &&
        this.storeVersion({ ...mergePatch(agent, change), version: agent.version + 1, updatedAt: now() }),
    )
  }

  private storeVersion(agent: Agent): Agent {
    const { schema, maxTurns, effort, env, tools, mcpServers, skills } = agent
    const hasSettings = [schema, maxTurns, effort, env, tools, mcpServers, skills].some(Boolean)
    const stored = { ...agent, hasSettings }
    this.agents.set(agent.id, stored)
    this.agentVersions.set(agent.id, [...(this.agentVersions.get(agent.id) ?? []), stored])
    return stored
  }

  private versions(id: string, number: string | undefined): Response {
    const all = this.agentVersions.get(id) ?? []
    if (number !== undefined) {
      return jsonOrNotFound(all.find(({ version }) => version.toString() === number))
    }
    const versions = all.map((agent, i) => ({
      version: agent.version,
      createdAt: agent.updatedAt,
      urls: { self: `/agents/${id}/versions/${agent.version}` },
      ...(i > 0 && { changed: ['instructions'] }),
    }))
    return json({ versions: versions.reverse() })
  }

  private createEnvironment(draft: Environment): Environment {
    const id = this.newID('env')
    return this.storeEnvironment({ ...draft, id, version: 1, createdAt: now(), updatedAt: now() })
  }

  private updateEnvironment(id: string, { version, ...change }: Partial<Environment>): Response {
    const environment = this.environments.get(id)
    if (environment && version !== undefined && version !== environment.version) {
      const detail = `The environment has version ${environment.version}; this change is based on version ${version}.`
      return problem({ status: 409, title: 'Conflict', code: 'version_conflict', detail })
    }
    return jsonOrNotFound(
      environment &&
        this.storeEnvironment({
          ...mergePatch(environment, change),
          version: environment.version + 1,
          updatedAt: now(),
        }),
    )
  }

  private storeEnvironment(environment: Environment): Environment {
    const { id } = environment
    this.environments.set(id, environment)
    this.environmentVersions.set(id, [...(this.environmentVersions.get(id) ?? []), environment])
    return environment
  }

  private versionsOfEnvironment(id: string) {
    const all = this.environmentVersions.get(id) ?? []
    return all
      .map(({ version, updatedAt }, i) => ({
        version,
        createdAt: updatedAt,
        urls: { self: `/environments/${id}/versions/${version}` },
        ...(i > 0 && { changed: ['network'] }),
      }))
      .reverse()
  }

  private retry(id: string): Response {
    const execution = this.executions.get(id)
    if (!execution) {
      return notFound()
    }
    const { kind, input, agentId, conversationId } = execution
    if (conversationId !== undefined) {
      return this.send({ message: input, conversationId, retryOf: id })
    }
    return this.accept({ ...{ kind, input, retryOf: id }, ...(agentId !== undefined && { agentId }) })
  }

  private changeBatch(id: string, change: Partial<Batch>): Response {
    const batch = this.batches.get(id)
    if (batch) {
      this.batches.set(id, { ...batch, ...change })
    }
    return jsonOrNotFound(this.batches.get(id), 202)
  }

  private retryBatch(id: string): Response {
    const batch = this.batches.get(id)
    if (!batch) {
      return notFound()
    }
    const retry: Batch = { ...batch, id: this.newID('bat'), retryOf: id, status: 'running', createdAt: now() }
    this.batches.set(retry.id, retry)
    return json(retry, 202)
  }

  private async execution(id: string, waitSeconds: number, signal: AbortSignal): Promise<Response> {
    const execution = this.executions.get(id)
    if (execution && !isFinished(execution.status) && waitSeconds > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitSeconds * 1000)
        const notify = () => {
          clearTimeout(timer)
          resolve()
        }
        signal.addEventListener('abort', notify)
        this.waiters.set(id, [...(this.waiters.get(id) ?? []), notify])
      })
    }
    return jsonOrNotFound(this.executions.get(id))
  }

  private transcript(id: string, request: Request): Response {
    const execution = this.executions.get(id)
    if (execution?.transcriptDeletedAt !== undefined) {
      const detail = `The transcript was deleted at ${execution.transcriptDeletedAt}.`
      return problem({ status: 410, title: 'Gone', code: 'transcript_deleted', detail })
    }
    return execution ? this.transcripts.respond(id, request, isFinished(execution.status)) : notFound()
  }

  private cancel(id: string): Response {
    this.finish(id, { status: 'canceled', error: { code: 'canceled', message: 'Canceled on request.' } })
    return jsonOrNotFound(this.executions.get(id), 202)
  }

  private reply(execution: Execution, outcome: Outcome): void {
    const all = this.messages.get(execution.conversationId ?? '') ?? []
    const question = all.find((message) => message.executionId === execution.id)
    const reply = 'result' in outcome ? outcome.result : { text: '', error: outcome.error }
    all.push({
      turn: question?.turn ?? 0,
      role: 'assistant',
      executionId: execution.id,
      createdAt: now(),
      ...reply,
    })
  }

  private drain(name: string, draining: boolean): Response {
    const executor = this.operator?.executors.find((x) => x.name === name)
    if (executor) {
      executor.draining = draining
    }
    return jsonOrNotFound(executor, 202)
  }

  private updateTenant(id: string, settings: Partial<TenantState['settings']>): Response {
    const tenant = this.operator?.tenants.find((t) => t.id === id)
    Object.assign(tenant?.settings ?? {}, settings)
    return jsonOrNotFound(tenant)
  }

  private change(id: string, change: Partial<Execution>): void {
    const execution = this.executions.get(id)
    if (execution && !isFinished(execution.status)) {
      const changed = { ...execution, ...change }
      this.executions.set(id, changed)
      this.tellChange(changed)
    }
  }

  private tellChange({ id, kind, status, attempt, batchId, conversationId }: Execution): void {
    this.events.send('/events', 'change', {
      ...{ executionId: id, kind, status, attempt, at: now() },
      ...(batchId !== undefined && { batchId }),
      ...(conversationId !== undefined && { conversationId }),
    })
  }

  private newID(prefix: string): string {
    return `${prefix}_${(++this.count).toString().padStart(4, '0')}`
  }
}

/** The URLs of an execution. */
export function urlsOf(id: string): Execution['urls'] {
  const self = `/executions/${id}`
  return { self, events: `${self}/events`, cancel: `${self}/cancel`, retry: `${self}/retry` }
}

function now(): string {
  return new Date().toISOString()
}

function newestFirst<T>(items: Map<string, T>): T[] {
  return [...items.values()].reverse()
}

/** Applies a JSON Merge Patch (RFC 7396). */
function mergePatch<T extends object>(target: T, patch: object): T {
  const merged = new Map<string, unknown>(Object.entries(target))
  for (const [name, value] of Object.entries(patch) as [string, unknown][]) {
    if (value === null) {
      merged.delete(name)
    } else if (value instanceof Object && !Array.isArray(value)) {
      merged.set(name, mergePatch(merged.get(name) ?? {}, value))
    } else {
      merged.set(name, value)
    }
  }
  return Object.fromEntries(merged) as T
}
