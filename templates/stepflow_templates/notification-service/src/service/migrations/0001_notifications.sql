-- Who can be written to: a projection of the users stream.
CREATE TABLE recipients (
    user_id     text PRIMARY KEY,
    email       text NOT NULL,
    name        text NOT NULL,
    updated_at  timestamptz NOT NULL
);

-- The live version of each template is the highest one; `deleted` hides the template, its versions stay.
CREATE TABLE templates (
    id          text PRIMARY KEY,                    -- name.channel.locale
    name        text NOT NULL,
    channel     text NOT NULL CHECK (channel IN ('email', 'sms', 'push')),
    locale      text NOT NULL,
    version     integer NOT NULL,
    builtin     boolean NOT NULL DEFAULT false,      -- not yet changed by an administrator: follows the release
    deleted     boolean NOT NULL DEFAULT false,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE template_versions (
    template_id text NOT NULL REFERENCES templates,
    version     integer NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    html        text NOT NULL,
    variables   jsonb NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (template_id, version)
);

-- A message is the queue entry and the record of what became of it. It is rendered when it is queued.
CREATE TABLE messages (
    id            text PRIMARY KEY,
    dedupe_key    text UNIQUE,                       -- the event that caused it, and the template
    user_id       text,
    channel       text NOT NULL,
    template      text NOT NULL,
    locale        text NOT NULL,
    version       integer NOT NULL,
    recipient     text NOT NULL,
    recipient_name text NOT NULL DEFAULT '',
    subject       text NOT NULL,
    body          text NOT NULL,
    html          text NOT NULL,
    status        text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'sending', 'sent', 'failed')),
    attempts      integer NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL DEFAULT now(), -- of a message being sent: when its claim runs out
    provider      text,
    provider_id   text,
    reason        text,
    requested_by  text NOT NULL DEFAULT '',          -- who asked for it, when not an event
    traceparent   text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX messages_due ON messages (due_at) WHERE status IN ('queued', 'sending');
CREATE INDEX messages_newest ON messages (created_at DESC, id DESC);
CREATE INDEX messages_of_user ON messages (user_id, created_at DESC, id DESC);

CREATE TABLE timeline (
    message_id  text NOT NULL REFERENCES messages ON DELETE CASCADE,
    position    bigint GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    event       text NOT NULL,
    detail      text NOT NULL DEFAULT '',
    PRIMARY KEY (message_id, position)
);

-- What the sandbox providers were given. Nothing in here has left the platform.
CREATE TABLE recorded (
    id          text PRIMARY KEY,                    -- the message
    channel     text NOT NULL,
    recipient   text NOT NULL,
    subject     text NOT NULL,
    body        text NOT NULL,
    detail      jsonb NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX recorded_newest ON recorded (recorded_at DESC, id DESC);
